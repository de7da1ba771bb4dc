"""One function per command: the way from a dataset to an evaluated model, each step by itself."""
