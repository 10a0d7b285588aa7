"""The catalogue, what people buy of it, and what to offer each of them next."""
