"""The space file: read with its lines, checked at the door, walked as the one way to make params of it."""
