"""Labelled people: reading annotation files and shards, checking and viewing them."""
