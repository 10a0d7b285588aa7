"""Measurements: one file a capability, each with its peer in the same run. ``make bench``."""
