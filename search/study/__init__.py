"""One study from start to end, a search or a confirmation."""
