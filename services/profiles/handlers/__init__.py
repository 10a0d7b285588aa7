"""The use cases of profiles, one async function each."""
