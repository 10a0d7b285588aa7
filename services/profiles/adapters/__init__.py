"""How profiles reaches its store."""
