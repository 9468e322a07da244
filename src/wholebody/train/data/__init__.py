"""People to train on, from files to batches."""
