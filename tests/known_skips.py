"""A test may be skipped for the reasons below and for no other: another skip fails, so that none goes unnoticed.

A pytest plugin, which `conftest.py` loads for all tests. It knows no test.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

REASONS = (
    "needs a GPU",
    "needs a machine without a GPU",
    "needs a CPU that multiplies in bf16",
    "needs glibc",
    "needs root",
    "needs Chromium",
    "needs real GTZAN",
    "needs LCBench",
    "needs Syne Tune",
    "needs machines made of namespaces",
    "needs MGC_FAKE_EC2=1",
)
"""How the reason of each skip begins: what this machine, or the person who runs the tests, must have or ask for."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    return _checked((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    return _checked((yield))


def _checked(report: Any) -> Any:
    """The report of a test or of a file, a failure where it was skipped for a reason that does not stand here."""
    if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(REASONS):
            report.outcome = "failed"
            report.longrepr = f"skipped for a reason that tests/known_skips.py does not know: {reason}"
    return report
