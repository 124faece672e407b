"""The programs that users run. Each parses its options, calls the other folders, and prints."""
