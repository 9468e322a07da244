"""Labelled people: annotation files, shards, what is wrong with them, and how they look."""
