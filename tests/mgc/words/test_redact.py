"""No line shows a password, a token or a secret of the environment; what is none of these stays."""

import pytest

from mgc.words.errors import ConfigError, one_line
from mgc.words.redact import redacted, redacted_word


@pytest.mark.parametrize("password", ["pw", "pa/ss", "p@ss", "p:w", "pa%2Fss", "//pw", "p@/:?#%w", "12/x"])
@pytest.mark.parametrize(
    "start", ["http://me", "postgresql+psycopg2://me", "http://me@corp.com", "http://", "http:/me"]
)
def test_a_password_goes_whole(start, password):
    line = redacted(f"MLflow at '{start}:{password}@host:5000/x' is away")
    assert password not in line
    assert line.endswith("***@host:5000/x' is away")


@pytest.mark.parametrize(
    "text",
    [
        "http://me@host:5000/page",
        "http://127.0.0.1:5000/a?page=2&name=x",
        "s3://bucket/folder@2",
        "sqlite:////home/a:b@c/mlflow.db",
        "ask a@b at 12:30",
        "unknown key 'lr', got 3",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redacted(text) == redacted_word(text) == text


@pytest.mark.parametrize("name", ["token", "access_token", "X-Amz-Signature", "password", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize("before", ["http://host/?", "http://host/?page=2&", "http://host/#", "could not use "])
def test_the_value_of_a_name_that_means_a_secret_goes(name, before):
    assert redacted(f"{before}{name}=x/y=z&page=3") == f"{before}{name}=***&page=3"


def test_a_word_may_hold_spaces_in_its_password():
    assert redacted_word("--tracking-uri=http://me:my own pw@host") == "--tracking-uri=http://me:***@host"
    assert redacted_word("http://host/?token=my own") == "http://host/?token=***"


def test_a_secret_of_the_environment_goes_wherever_it_stands(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc/defg+hij")
    monkeypatch.setenv("SHORT_TOKEN", "none")
    assert redacted("none: refused abc/defg+hij.") == "none: refused ***."


def test_errors_show_no_password_also_where_the_line_is_cut():
    address = "http://me:" + 400 * "s" + "@host"
    assert str(ConfigError(f"cannot use {address}")) == "cannot use http://me:***@host"
    assert one_line(OSError(f"cannot use {address}")) == "cannot use http://me:***@host"
