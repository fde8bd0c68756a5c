"""The plots of a study's results."""
