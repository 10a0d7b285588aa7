"""Shares, in ten-thousandths."""

WHOLE = 10_000
"""All of something."""
