"""Music genre classification: datasets, splits, features, models, training. Knows nothing of search, Ray or MLflow."""
