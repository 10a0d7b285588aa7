"""JSON objects laid flat: what they hold by path, as columns of a table, and comparisons over these columns."""
