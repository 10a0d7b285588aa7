"""Where loyalty meets the store, the feeds and other services."""
