"""Music genre classification: datasets, splits, features, models, training. Knows nothing of search, Ray or MLflow."""

from mgc.words.starting import start_command

start_command()
