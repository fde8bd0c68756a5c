"""A study on a cluster of two nodes of this machine, one of which is taken away in the middle."""

import threading
import time

import pytest
from ray.cluster_utils import Cluster

from benchmarks import tiny_study
from search.driver import Options, run_study
from search.journal import JOURNAL
from search.record import Record
from search.space import Space

pytestmark = pytest.mark.slow


@pytest.fixture
def nodes():
    """A cluster whose head runs no trials, and the two nodes that do, one trial each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster, [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.shutdown()


def test_trials_of_a_lost_node_go_on_elsewhere_from_their_checkpoints(nodes, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_worker_niceness", "0")
    cluster, (_, lost) = nodes
    cluster.wait_for_nodes()
    budget = ["budget.min_epochs=1", "budget.max_epochs=90", "budget.reduction_factor=30"]
    space = Space.load(tiny_study.write_space(tmp_path, trials=2), overrides=budget)
    record = tmp_path / "runs" / "nodes"
    remover = threading.Thread(target=remove_when, args=(cluster, lost, record, 66), daemon=True)
    remover.start()

    run_study(space, Options(out=tmp_path / "runs", name="nodes", address=cluster.address, offline=True, quiet=True))

    trials = Record.open(record).trials()
    assert [trial.state for trial in trials if trial.state == "failed"] == []
    for trial in trials:
        assert [epoch["epoch"] for epoch in trial.epochs] == list(range(1, len(trial.epochs) + 1))
    (again,) = [trial for trial in trials if trial.facts.get("worker_losses")]
    assert again.state in ("complete", "stopped")  # of two trials ASHA may stop either
    assert again.facts["resumed_after"] in (1, 30)  # the rungs; the epochs since are trained again


def remove_when(cluster, node, study, epochs):
    """Take the node away, as a power cut does, once the record has so many epochs."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        journal = study / JOURNAL
        if journal.is_file() and journal.read_bytes().count(b'"epoch/') >= epochs:
            cluster.remove_node(node, allow_graceful=False)
            return
        time.sleep(0.02)
