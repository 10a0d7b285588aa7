"""The GraphQL schema: types from the contracts, and by hand the root fields, the edges and the loaders."""
