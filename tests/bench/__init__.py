"""Benchmarks: ratios of commands that run in turn. Seconds never pass or fail."""
