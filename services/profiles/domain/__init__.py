"""What a customer and an event are. Pure: no clock, no store, no wire."""
