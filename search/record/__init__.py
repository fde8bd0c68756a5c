"""A study's durable record: its journal, its header, its checkpoints, and how its trials rank."""
