"""What people run. Thin: parse, wire together, print."""
