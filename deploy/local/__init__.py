"""The whole platform on one machine: ``make run``."""
