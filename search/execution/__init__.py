"""Trials on machines: Ray, GPUs and their shares, workers, nodes and what they cost."""
