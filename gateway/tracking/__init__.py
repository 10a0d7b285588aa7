"""Segment's HTTP tracking API: what sources send in its form becomes events of the contract."""
