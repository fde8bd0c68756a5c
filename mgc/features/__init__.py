"""From an audio file to the features of a track, which are kept on each node."""
