"""Between the ports of forecasting and what is outside."""
