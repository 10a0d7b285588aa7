"""Campaigns: templates, sendings, and what became of every message."""
