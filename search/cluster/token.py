"""Ray's token on the machine that asks: Ray looks for it when it is imported, and only where it is told to.

So this must be called before anything of Ray's is. Knows the environment and Ray's file, and nothing of Ray.
"""

from __future__ import annotations

import os
from pathlib import Path


def use_token() -> None:
    """Let Ray send the user's token, if there is one, unless the user has decided about tokens."""
    given = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if (Path.home() / ".ray" / "auth_token").is_file() or any(name in os.environ for name in given):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
