"""Going to and coming from other systems: their files, their settings, their weights."""
