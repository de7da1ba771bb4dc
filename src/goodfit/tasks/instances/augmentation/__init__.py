"""Augmentation of frames: drawn as plain values that can be recorded, and applied to image, boxes and masks alike."""

from goodfit.tasks.instances.augmentation.apply import apply
from goodfit.tasks.instances.augmentation.draw import Colour, FrameChange, Placement, draw

__all__ = ["Colour", "FrameChange", "Placement", "apply", "draw"]
