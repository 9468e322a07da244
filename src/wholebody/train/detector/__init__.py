"""Training a YOLOX to find people."""
