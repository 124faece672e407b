"""The article's network and its data."""
