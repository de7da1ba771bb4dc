"""The commands for datasets of frames with instances, called by those of the same name."""
