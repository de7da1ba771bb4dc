"""What the user hands in: layouts, readers, checks, groups and splits."""
