"""Datasets on the web: where they lie, and how they are downloaded."""
