"""Poses for others: the camera page."""
