"""The user's token for Ray clusters. Ray looks for it only if the environment says so when Ray is imported.

So `user_token` must surround the first import of Ray. Knows the environment and the token's file, not Ray.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODE = "RAY_AUTH_MODE"


@contextmanager
def user_token() -> Iterator[None]:
    """Let Ray send the user's token in this block, if there is one, unless the user has set RAY_AUTH_MODE."""
    variables = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    has_token = (Path.home() / ".ray" / "auth_token").is_file() or any(name in os.environ for name in variables)
    if MODE in os.environ or not has_token:
        yield
        return
    os.environ[MODE] = "token"
    try:
        yield
    finally:
        os.environ.pop(MODE, None)
