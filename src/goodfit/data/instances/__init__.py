"""Images and video frames with instances: COCO files, their checks, splits and conversions."""
