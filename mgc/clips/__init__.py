"""From the features of tracks to batches of clips on the device."""
