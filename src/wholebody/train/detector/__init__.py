"""Training a YOLOX person detector."""
