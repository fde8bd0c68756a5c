"""What no line may show: passwords in addresses, tokens, and the secrets of the environment.

Every error that is a user's mistake (mgc.words.errors.ConfigError), every error in one line (`one_line`), every logged
traceback and the command line that a record keeps pass through here. It knows none of the places that print.
"""

from __future__ import annotations

import os
import re

HIDDEN = "***"
"""Stands for a secret; as a password it means that the password is given elsewhere."""
SHORTEST = 8
"""Characters of the shortest value in the environment that counts as a secret: a shorter one may be any word."""

_USER = r"(?<!sqlite:)(?<!/)//[^\s:]*:|(?:^|(?<=[\s'\"=(\[{,]))[^\s/@:]*:(?!//)"
"""All of an address until its password; the slashes may be missing (`http:/me:password@host`). A file has neither."""
_NAME = r"[\w.-]*(?:token|passw|pwd|secret|api_?key|access_?key|signature|credential)[\w.-]*"
_ENVIRONMENT = re.compile(r"(TOKEN|PASSWORD|SECRET|ACCESS_KEY|ACCESS_KEY_ID|API_KEY)$")


def redacted(text: str) -> str:
    """A text without the secrets in it; a user without a password stays.

    An address ends at a space. What stands between its first colon and its last @ is a password, so that one with
    `/`, `@` or `:` goes as a whole.

    >>> redacted("http://me:pa/ss@w@host:5000 is away"), redacted("http://me@host/?token=abc&page=2")
    ('http://me:***@host:5000 is away', 'http://me@host/?token=***&page=2')
    """
    return _without_secrets(text, r"\S")


def redacted_word(word: str) -> str:
    """A word of a command line without the secrets in it. It holds one address at most, and that may have spaces.

    >>> redacted_word("--tracking-uri=http://me:my own@host")
    '--tracking-uri=http://me:***@host'
    """
    return _without_secrets(word, r"[\s\S]")


def _without_secrets(text: str, character: str) -> str:
    """`character` is the pattern of one character of an address."""
    for secret in _secrets_of_environment():
        text = text.replace(secret, HIDDEN)
    text = re.sub(rf"({_USER}){character}*@", rf"\1{HIDDEN}@", text)
    return re.sub(rf"(?i)(?<![\w.-])({_NAME}=)(?:(?![&;]){character})+", rf"\1{HIDDEN}", text)


def _secrets_of_environment() -> list[str]:
    """Values of variables such as AWS_SECRET_ACCESS_KEY, the longest first: one may be a part of another."""
    values = [value for name, value in os.environ.items() if _ENVIRONMENT.search(name) and len(value) >= SHORTEST]
    return sorted(values, key=len, reverse=True)
