"""Customers: identities, traits, events, and the feed that tells the others."""
