"""The six services of Tessera and what they share."""
