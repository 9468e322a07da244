"""People from frame to frame: who is who, smoothing, and the pipeline that does it all at once."""
