"""People from frame to frame: ids, smoothing, and the pipeline that combines everything."""
