"""How the program speaks with people: command lines, errors of one line, progress. Knows nothing of music."""
