"""What a study shows: statistics, kept predictions, the answer, the confirmation, the published figures."""
