"""A study on a cluster of two nodes of this machine, one of which is taken away in the middle; then all of it is."""

import os
import signal
import threading
from pathlib import Path

import pytest
from buckets_here import BUCKET, bucket_server
from ray.cluster_utils import Cluster
from waiting import until

from benchmarks import tiny_study
from search.record.files import JOURNAL
from search.record.record import Record
from search.space.space import Space
from search.study.plan import SearchOptions
from search.study.searching import run_study

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture
def storage():
    with bucket_server():
        yield f"{BUCKET}/studies"


@pytest.fixture
def nodes(storage):
    """A cluster whose head runs no trials, and the two nodes that do, one trial each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster, [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.shutdown()


def test_a_lost_node_s_trial_goes_on_elsewhere_and_a_lost_cluster_s_study_on_another(
    nodes, storage, tmp_path, monkeypatch
):
    monkeypatch.setenv("RAY_worker_niceness", "0")
    cluster, workers = nodes
    cluster.wait_for_nodes()
    budget = ["budget.min_epochs=1", "budget.max_epochs=90", "budget.reduction_factor=30"]
    space = Space.load(tiny_study.write_space(tmp_path, trials=1), overrides=budget)
    study = tmp_path / "runs" / "nodes"
    threading.Thread(target=remove_when, args=(cluster, workers, study, 35), daemon=True).start()

    how = {"name": "nodes", "offline": True, "quiet": True, "storage": storage}
    run_study(space, SearchOptions(out=tmp_path / "runs", address=cluster.address, **how))

    (trial,) = Record.open(study).trials()
    assert trial.state == "complete"
    assert [epoch["epoch"] for epoch in trial.epochs] == list(range(1, 91))
    assert trial.facts["worker_losses"] == 1
    assert trial.facts["resumed_after"] == 30  # the last rung; the epochs since are trained again
    assert not list((tmp_path / "runs").rglob("checkpoint.pt*"))

    cluster.shutdown()  # and with it, let us say, the head's disk
    more = Space.load(tmp_path / "tiny.yaml", overrides=[*budget, "search.trials=2"])
    run_study(more, SearchOptions(out=tmp_path / "new", address="local", resume=True, trials_given=True, **how))

    again, new = Record.open(tmp_path / "new" / "nodes").trials()
    assert again.epochs == trial.epochs
    assert new.state in ("complete", "stopped")
    assert (tmp_path / "new" / "nodes" / "model").is_dir()


def remove_when(cluster, workers, study, epochs):
    """Take the node with the trial away, as a power cut does, once the record has so many epochs."""
    journal = study / JOURNAL
    until(lambda: journal.is_file() and journal.read_bytes().count(b'"epoch/') >= epochs, "it trains", 120)
    ((lost, trial),) = [(node, pid) for node in workers for pid in trials_of(node)]
    os.kill(trial, signal.SIGSTOP)  # or it might be complete before its node is gone
    cluster.remove_node(lost, allow_graceful=False)
    os.kill(trial, signal.SIGKILL)


def trials_of(node):
    """The processes of trials that are children of this node's raylet."""
    (raylet,) = node.all_processes["raylet"]
    children = Path(f"/proc/{raylet.process.pid}/task/{raylet.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"ray::TrainingTrial" in Path(f"/proc/{pid}/cmdline").read_bytes()]
