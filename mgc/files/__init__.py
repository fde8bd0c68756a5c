"""Files that may hold anything, folders that are there whole or not at all, and the cache. Knows nothing of music."""
