"""The use cases of loyalty: one function each, over ports and plain values."""
