"""Planning for instances: what a set of annotated frames tells about the detector that fits it."""
