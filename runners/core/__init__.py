"""What a run is and what it leaves behind: everything that decides a result."""
