"""The networks: one file for each paper, the blocks that they share, and the registry of their names."""
