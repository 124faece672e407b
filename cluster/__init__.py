"""Where a run happens. Imports Ray, and no framework."""
