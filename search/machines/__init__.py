"""The machines that a study runs on: the Ray cluster, its nodes, their slots and what they cost."""
