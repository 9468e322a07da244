"""The architectures, in torch: one paper, one file."""
