"""Datasets of music: one file for each kind, what they are made of, and the registry that opens them."""
