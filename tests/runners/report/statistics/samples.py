"""Samples that several of these tests take."""

from hypothesis import strategies as st

# Student (1908), hours of extra sleep of ten patients under two drugs; R's `sleep`.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

NUMBERS = st.integers(-1000, 1000).map(lambda n: n / 100)
