"""The use cases of recommendation, one async function each."""
