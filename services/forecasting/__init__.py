"""Forecasting: sales over time, and what they will be."""
