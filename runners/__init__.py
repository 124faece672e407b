"""What a run is, how one is done, and what became of it."""
