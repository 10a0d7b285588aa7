"""Forecasting methods: arrays in, arrays out."""
