"""Finding the instances of categories in images and video frames: boxes, and masks where there are any."""
