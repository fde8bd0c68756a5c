"""Syne Tune's searches (MOBSTER, Hyper-Tune, BOHB), each in a process of the environment that has Syne Tune 0.13.0."""

from __future__ import annotations

import json
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.searches.replay import Begin, Continue
from benchmarks.searches.space import Taken
from mgc.words.errors import ConfigError
from search.sampler.translate import Candidate
from search.space.domains import Choice, Domain, label
from search.space.params import written
from search.space.space import Space

PROCESS = Path(__file__).with_name("syne_process.py")
METHODS = ("mobster", "hypertune", "bohb")


class SyneTune:
    """A method of Syne Tune's. It knows no conditions: to it every param of the space is always active.

    Raises ConfigError where its process ends.
    """

    def __init__(self, method: str, space: Space, taken: Taken, python: Path) -> None:
        self.method, self.space, self.taken = method, space, taken
        self.begun = 0
        self._cpu_s = 0.0
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            [python, str(PROCESS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        weakref.finalize(self, self._process.kill)
        domains = {name: _written(param.domain) for name, param in space.varying.items() if param.domain is not None}
        self._send({"method": method, "space": domains, "epochs": space.budget.full, "seed": space.search.seed})

    def next(self) -> Begin | Continue:
        answer = self._ask({"next": self.begun})
        if "continue" in answer:
            return Continue(answer["continue"])
        number, proposed = self.begun, answer["proposed"]
        self.begun += 1
        own = self.taken(Candidate.chosen(self.space, lambda name, domain: _value(domain, proposed[name])).varying)
        domains = {name: self.space.varying[name].domain for name in own}
        self._ask({"taken": {name: _label(domain, own[name]) for name, domain in domains.items() if domain}})
        return Begin(number, own)

    def goes_on(self, number: int, epoch: int, score: float) -> bool:
        return bool(self._ask({"report": number, "epoch": epoch, "score": score})["goes_on"])

    def cpu_s(self) -> float:
        return self._cpu_s

    def _ask(self, line: Mapping[str, Any]) -> dict[str, Any]:
        self._send(line)
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            raise ConfigError(f"{self.method}: Syne Tune's process ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(text)
        self._cpu_s = answer.get("cpu_s", self._cpu_s)
        return answer

    def _send(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            print(json.dumps(line), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise ConfigError(f"{self.method}: Syne Tune's process ended: {self._last_words()}") from None

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        return (self._errors.read().strip().splitlines() or [f"exit code {self._process.returncode}"])[-1]


def _written(domain: Domain) -> dict[str, Any]:
    return {"choice": list(domain.labels())} if isinstance(domain, Choice) else written(domain)


def _value(domain: Domain, value: Any) -> Any:
    return domain.from_label(value) if isinstance(domain, Choice) else value


def _label(domain: Domain, value: Any) -> Any:
    return label(value) if isinstance(domain, Choice) else value
