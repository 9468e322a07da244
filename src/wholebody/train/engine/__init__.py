"""Shared by all trainings: optimiser, logs, processes, state on disk."""
