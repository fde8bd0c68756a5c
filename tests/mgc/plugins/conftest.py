from collections.abc import Iterator
from pathlib import Path

import pytest

from mgc.plugins.loading import use


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A folder of its own, and none in use, before a test and after it."""
    monkeypatch.delenv("MGC_PLUGINS", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    use(())
