"""The report of a run on frames with instances."""
