"""The rules of loyalty: programmes, members, lots, entries. Pure: time comes in, nothing goes out."""
