"""What a patience that the user gives means for the plan."""

from __future__ import annotations


def patience_fields(epochs: int) -> dict[str, float | None]:
    """Give the fields of a plan's training section for a given patience: that many epochs, however long the run is.

    Args:
        epochs: epochs without improvement; 0: never stop on a plateau.
    """
    return {"patience": epochs or None, "patience_share": 0.0}
