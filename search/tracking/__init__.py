"""What a tracking backend (MLflow) shows of a study: a projection of the record, which can be made again."""
