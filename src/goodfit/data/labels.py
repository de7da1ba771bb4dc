"""The classes of a segmentation dataset: plain labels, regions (unions of labels) and the ignore label."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Labels:
    """Names and values of the classes, background left out.

    With plain labels the network has ``1 + len(classes)`` softmax outputs (background first) and each class
    has one integer value. With regions (some class is a union of several label values) the network has one
    sigmoid output per class, and ``regions_order[i]`` is the label value written where region ``i`` is
    predicted; later regions overwrite earlier ones (nnU-Net: regions_class_order).

    Attributes:
        classes: foreground class name -> the label values it consists of, in network output order.
        ignore: label value that is neither trained on nor scored, or None.
        regions_order: only with regions: one label value per class, in the order of ``classes``.
    """

    classes: dict[str, tuple[int, ...]]
    ignore: int | None = None
    regions_order: tuple[int, ...] | None = None

    @property
    def has_regions(self) -> bool:
        """Whether classes are regions, trained with sigmoid outputs."""
        return self.regions_order is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Foreground class names, in network output order."""
        return tuple(self.classes)

    @property
    def outputs(self) -> int:
        """Number of network output channels."""
        return len(self.classes) if self.has_regions else len(self.classes) + 1

    @property
    def foreground_values(self) -> tuple[int, ...]:
        """Every foreground label value that a label file may hold, sorted; the ignore label is not one."""
        return tuple(sorted({value for values in self.classes.values() for value in values}))

    @property
    def known_values(self) -> tuple[int, ...]:
        """Every value a label file may hold: 0, the foreground values and the ignore label."""
        ignore = () if self.ignore is None else (self.ignore,)
        return (0, *self.foreground_values, *ignore)
