"""Music genre classification: datasets, splits, features, models, training. Knows nothing of search, Ray or MLflow."""

from mgc.words.starting import start_command

__version__ = "0.1.0"

start_command()
