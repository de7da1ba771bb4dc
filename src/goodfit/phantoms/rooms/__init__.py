"""Generated videos of a room in which figures walk, sit and lie, with exact masks and identities."""

from __future__ import annotations




