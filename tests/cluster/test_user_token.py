"""The user's token for Ray clusters: asked for in a command, and never left in the process that has called one."""

import os

import pytest

from search.cluster.__main__ import main
from search.cluster.token import user_token


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A home that has a token, in a process that nobody has told of tokens."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("a" * 64)
    return tmp_path


def mode():
    return os.environ.get("RAY_AUTH_MODE")


def test_ray_is_told_of_the_token_while_a_command_runs(home):
    with user_token():
        assert mode() == "token"
    assert mode() is None


def test_without_a_token_ray_asks_for_none(home):
    (home / ".ray" / "auth_token").unlink()
    with user_token():
        assert mode() is None


def test_the_users_own_mode_stands(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with user_token():
        assert mode() == "disabled"
    assert mode() == "disabled"


def test_a_command_on_clusters_leaves_no_token_mode_to_a_later_study_of_the_process(home, tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.yaml")]) == 2
    assert mode() is None
