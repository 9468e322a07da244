"""From a picture to poses: the detector, the top-down network, and loading both by name."""
