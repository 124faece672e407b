"""From records to tables, plots and a page. Imports no framework and no Ray."""
