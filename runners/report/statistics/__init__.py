"""Statistics: functions on arrays. None of them knows of a run, a contender or a metric."""
