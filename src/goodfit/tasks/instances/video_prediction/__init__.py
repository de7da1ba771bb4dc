"""Predicting videos and folders of images: overlays, tracks and tables."""

from __future__ import annotations

from goodfit.tasks.instances.video_prediction.images import PredictedImages, predict_images
from goodfit.tasks.instances.video_prediction.video import PredictedVideo, predict_video

__all__ = ["PredictedImages", "PredictedVideo", "predict_images", "predict_video"]
