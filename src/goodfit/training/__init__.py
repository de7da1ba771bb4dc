"""The loop and what controls it; it knows of a task nothing but the protocol in ``task.py``."""
