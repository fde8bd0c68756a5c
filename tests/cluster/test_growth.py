"""Nodes that come and go while a study runs, and what they cost: a Ray cluster of this machine's own processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import ray
from ray.cluster_utils import Cluster
from waiting import until

from benchmarks import tiny_study
from mgc.plugins.plugin import Plugin
from mgc.words.errors import ConfigError
from search.cluster import preflight
from search.cluster.probe import Facts
from search.machines import nodes
from search.machines.autoscaler import PRICE_LABEL
from search.machines.cost import Limits
from search.record.files import JOURNAL
from search.record.notes import COST, Cost
from search.record.record import Record
from search.settings.sections import Resources
from search.space.space import Space
from search.study.plan import SearchOptions
from search.study.searching import run_study

pytestmark = pytest.mark.slow

PRICED = {"labels": {PRICE_LABEL: "36"}}
"""An hour for 36 dollars is a second for a cent."""


@pytest.fixture(scope="module")
def cluster():
    head = {"num_cpus": 0, "include_dashboard": False, **PRICED}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, **PRICED)
    yield cluster
    cluster.shutdown()


def options(tmp_path, cluster, **more):
    return SearchOptions(out=tmp_path / "runs", name="g", address=cluster.address, offline=True, quiet=True, **more)


@pytest.mark.long
def test_a_study_is_ended_by_its_cost_and_can_go_on(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_worker_niceness", "0")
    path = tiny_study.write_space(tmp_path, trials=30)
    space = Space.load(path, overrides=["budget.epochs=2000"])
    started = time.monotonic()
    outcome = run_study(space, options(tmp_path, cluster, limits=Limits(usd=0.3)))
    took_s = time.monotonic() - started
    assert outcome.interrupted
    cost = Cost(**outcome.record.noted(COST)).usd
    assert 0.3 <= cost <= 0.02 * took_s  # two nodes at a cent a second
    assert outcome.record.trials("running")


@pytest.mark.long
def test_more_trials_run_once_there_are_more_nodes(cluster, tmp_path):
    path = tiny_study.write_space(tmp_path, trials=3)
    words = ["--set", "budget.epochs=600", "--name", "g", "--out", str(tmp_path / "runs"), "--offline"]
    with (tmp_path / "said").open("wb") as said:
        driver = subprocess.Popen(
            [sys.executable, "-m", "search.run", str(path), "--address", cluster.address, *words],
            env=tiny_study.environment(tmp_path),
            stderr=said,
        )
    most = running_before = 0

    def running():
        nonlocal most
        assert driver.poll() is None, (tmp_path / "said").read_text()
        if (tmp_path / "runs" / "g" / JOURNAL).is_file():
            trials = Record.open(tmp_path / "runs" / "g").trials("running")
            most = max(most, len([trial for trial in trials if trial.epochs]))
        return most

    until(lambda: running() >= 1, "a trial runs", 240)
    running_before = most
    added = cluster.add_node(num_cpus=1, **PRICED)  # which only the main thread can do
    until(lambda: running() >= 2, "two trials run", 240)
    assert (driver.wait(timeout=900), running_before, most) == (0, 1, 2)
    cluster.remove_node(added)
    assert "now 2 trials at a time on 3 nodes with 2 CPUs" in (tmp_path / "said").read_text()


RESOLVED = """
max_workers: 4
head_node_type: head
available_node_types:
  head: {max_workers: 0, resources: {CPU: 8}}
  gpu: {max_workers: 9, resources: {CPU: 4, GPU: 1, "accelerator_type:T4": 1}}
  later: {max_workers: 4, resources: {}}
"""


@pytest.mark.long
def test_what_the_autoscaler_may_add_counts_as_slots(cluster, monkeypatch, tmp_path):
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        resources = Resources(trials_per_gpu=4)
        assert (nodes.slots(resources).count, nodes.slots(resources).request) == (1, {"CPU": 1})
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "ray_bootstrap_config.yaml").write_text(RESOLVED)
        share = nodes.slots(resources)
        assert (share.count, share.request, share.is_growing) == (16, {"CPU": 1, "GPU": 0.25}, True)
        assert not nodes.has_bf16()
        assert nodes.rates() == nodes.Rates(gpus=0.0, usd=72.0)
    finally:
        ray.shutdown()


@pytest.mark.long
def test_preflight_asks_every_node(cluster, tmp_path, audio_folder):
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        storage = str(tmp_path / "shared")
        asked, problems = preflight.check(storage=storage, dataset=str(audio_folder), tracking_uri="http://127.0.0.1:9")
        assert len(asked) == 2 and len({node.facts.dataset_digest for node in asked}) == 1
        has_token = os.environ.get("RAY_AUTH_MODE") == "token"  # `ray.init` of an earlier test leaves it so
        expected = ["MLflow at 127.0.0.1"] if has_token else ["Ray asks for no token", "MLflow at 127.0.0.1"]
        assert [problem.text.split(":")[0] for problem in problems] == expected
        with pytest.raises(ConfigError, match=r"^preflight: .*: no dataset 'nowhere'"):
            preflight.before_trials(storage=storage, dataset="nowhere", tracking_uri=None)
        lacking = Plugin(name="mine.py", text="import no_such_package\n")
        with pytest.raises(
            ConfigError, match=r"^preflight: [\d.]+: mine\.py:1: needs the package no_such_package, which"
        ):
            preflight.before_trials(storage=storage, dataset="nowhere", tracking_uri=None, plugins=[lacking])
        (line, *_) = preflight.before_trials(storage=storage, dataset=str(audio_folder), tracking_uri=None)
        assert line == "preflight: 2 nodes in order"
        assert not [path for path in (tmp_path / "shared").rglob("*") if path.is_file()]
    finally:
        ray.shutdown()


VERSIONS = {"python": "3.12.1", "ray": "2.60.0", "torch": "2.13.0", "mgc-search": "0.1.0+aa"}


def node(address, *, gpus=0.0, missing=(), **facts):
    usual = {
        "node": "n",
        "versions": VERSIONS,
        "has_token": True,
        "gpus": 0,
        "memory_gb": 16,
        "disk_gb": 90,
        "dataset_digest": "d1",
    }
    return preflight.Node(id=address, address=address, gpus=gpus, missing=missing, facts=Facts(**{**usual, **facts}))


@pytest.mark.parametrize(
    ("odd", "line"),
    [
        (node("c", versions={**VERSIONS, "python": "3.11.7"}), "c: python 3.11.7, elsewhere 3.12.1 ("),
        (node("c", versions={**VERSIONS, "mgc-search": "0.1.0+bb"}), "c: mgc-search 0.1.0+bb, elsewhere 0.1.0+aa ("),
        (node("c", dataset_digest="d2"), "c: dataset d2, elsewhere d1 ("),
        (node("c", missing=("a", "b")), "c: does not see on the storage what a, b wrote ("),
        (node("c", storage_error="No space left on device"), "c: cannot write the storage: No space left on device ("),
        (node("c", plugin_error="mine.py:3: needs the package x, which is not installed here"),
         "c: mine.py:3: needs the package x, which is not installed here ("),
        (node("c", dataset_error="no dataset 'x'"), "c: no dataset 'x' ("),
        (node("c", gpus=2.0), "c: Ray promises 2 GPUs, the machine has 0 ("),
        (node("c", disk_gb=0.4), "c: 0.4 GB free for its cache ("),
        (preflight.Node(id="c", address="c", gpus=0, facts=None), "c: does not answer ("),
    ],
)  # fmt: skip
def test_each_difference_between_nodes_is_a_line_with_its_remedy(odd, line):
    assert list(preflight.problems([node("a"), node("b")])) == []
    (problem,) = preflight.problems([node("a"), node("b"), odd])
    assert str(problem).startswith(line) and str(problem).endswith(")")


def test_what_many_nodes_lack_is_one_line():
    away = [node(address, dataset_error="no dataset 'x'") for address in "abcde"]
    assert [str(problem) for problem in preflight.problems([*away, node("e", disk_gb=0.4)])] == [
        "a, b, c and 2 more: no dataset 'x' (--data s3://... or a folder that all nodes see)",
        "e: 0.4 GB free for its cache (make room, or MGC_CACHE elsewhere)",
    ]
