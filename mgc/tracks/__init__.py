"""What a dataset is made of: its tracks, and which of them train, validate and test. Opens no audio."""
