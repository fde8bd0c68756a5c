"""What a machine needs that goes on with a study: its checkpoints, its copy, and who may write there."""
