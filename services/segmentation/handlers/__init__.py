"""The use cases of segmentation, one async function each."""
