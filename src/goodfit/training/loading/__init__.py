"""Batches made ahead by worker processes, and what becomes of a worker that dies."""
