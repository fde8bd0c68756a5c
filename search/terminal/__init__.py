"""What a terminal shows of a study: the live table, the summary, its trials as rows."""
