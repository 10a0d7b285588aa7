"""Segments of customers, their members, and RFM."""
