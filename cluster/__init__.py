"""Where a run happens. Knows Ray, and no framework."""
