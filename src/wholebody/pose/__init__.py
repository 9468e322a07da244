"""From a picture to poses: the detector, the top-down network, and how a name becomes either."""
