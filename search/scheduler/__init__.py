"""Which trials go on after an epoch, and which stop."""
