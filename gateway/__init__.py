"""The GraphQL gateway: one HTTP door to the six services."""
