"""Every pair of contenders on every metric: the table, the verdicts, the plots, and the section that shows them."""
