"""What is learnt from purchases: arrays in, arrays out. Only this package imports torch."""
