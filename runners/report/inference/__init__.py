"""The statistics of the report by subject; `runners.report.statistics` exposes them."""
