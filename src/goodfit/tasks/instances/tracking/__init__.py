"""Giving the detections of successive frames identities that last."""

from __future__ import annotations

from goodfit.tasks.instances.tracking.follow import follow
from goodfit.tasks.instances.tracking.tracker import UNTRACKED, Correction, Tracker, TrackingSettings

__all__ = ["UNTRACKED", "Correction", "Tracker", "TrackingSettings", "follow"]
