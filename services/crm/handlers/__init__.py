"""The use cases of crm, one async function each."""
