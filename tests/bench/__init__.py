"""Benchmarks: ratios of commands run in turn, never a pass or a fail."""
