"""The config of one training, and the network that it means."""
