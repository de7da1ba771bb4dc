"""Videos: exact access to single frames, reading in order, and writing."""
