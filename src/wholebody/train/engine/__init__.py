"""What every training needs, whatever is trained: optimiser, logs, processes, state on disk."""
