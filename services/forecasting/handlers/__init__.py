"""The use cases of forecasting, one async function each."""
