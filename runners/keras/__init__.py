"""Keras: how it trains a run, and what the parity audit inspects."""
