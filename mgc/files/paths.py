"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path

from mgc.words.errors import ConfigError


def expanded(text: str | Path) -> Path:
    """The path with `~` and `~user` replaced by that user's folder. Raises ConfigError for a user that is not there."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{text}: this machine has no user {Path(text).parts[0].removeprefix('~')!r}") from None
