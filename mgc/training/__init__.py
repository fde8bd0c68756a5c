"""One training: epochs, steps, scores."""
