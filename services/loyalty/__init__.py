"""Loyalty: programmes, the points ledger, tiers and rewards."""
