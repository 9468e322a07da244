"""The architectures in torch, one file per paper."""
