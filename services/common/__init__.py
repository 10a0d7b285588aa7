"""What all six services share: server, authentication, errors, store, feed. No business noun."""
