"""What is true of series and forecasts, whatever stores or computes them."""
