"""The network, its data, and everything random about it."""
