"""Generated videos of a room in which figures walk, sit and lie, with exact masks and identities."""

from __future__ import annotations

from goodfit.phantoms.rooms.dataset import CATEGORIES, GENERATOR_VERSION, write_rooms

__all__ = ["CATEGORIES", "GENERATOR_VERSION", "write_rooms"]
