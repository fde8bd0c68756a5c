"""A study sent to a Ray cluster, left, stopped, gone on with: by the commands, to a cluster of this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hosts import ROOT
from ray.cluster_utils import Cluster
from servers import free_port
from waiting import until

from benchmarks import tiny_study
from mgc.plugins.loading import use
from search import run
from search.cluster import jobs
from search.record.files import JOURNAL
from search.record.record import Record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dashboard():
    """The address of the dashboard of a Ray cluster that somebody else started. It has a folder of its own: Ray sends a
    job's driver to the cluster that was started last in the folder, which other tests use meanwhile.
    """
    port, agent_port = free_port(), free_port()  # the usual ones may be another cluster's on this machine
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(prefix="jobs-") as own:
        patch.setenv("RAY_TMPDIR", own)
        patch.setenv("RAY_JOB_STOP_WAIT_TIME_S", "60")
        patch.setenv("RAY_raylet_start_wait_time_s", "180")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("PATH", f"{sys.prefix}/bin:{os.environ['PATH']}")  # a job's python is the cluster's
        ports = {"dashboard_port": port, "dashboard_agent_listen_port": agent_port}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": True, **ports})
        yield f"http://127.0.0.1:{port}"
        cluster.shutdown()
        until(lambda: not is_used(own), "no process of Ray's writes there any more")


def is_used(folder: str) -> bool:
    """Whether a process has this folder as Ray's. `shutdown` does not wait for those that its processes began."""
    named = f"RAY_TMPDIR={folder}\0".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended meanwhile
            if named in environment.read_bytes():
                return True
    return False


def command(module, *words):
    """As a terminal starts it: tests in a shell's background, and so their children, would ignore Ctrl-C."""
    return ["env", "--default-signal=INT", sys.executable, "-m", module, *map(str, words)]


def ended(*words, cwd):
    """A command's end, in a folder that is not the program's."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.long
def test_a_study_goes_on_when_it_is_left_and_can_be_stopped_and_gone_on_with(dashboard, tmp_path):
    space, out = tiny_study.write_space(tmp_path, trials=3), tmp_path / "runs"
    words = [space, "--address", dashboard, "--out", out, "--offline", "--set", "budget.epochs=500"]
    with (tmp_path / "said").open("wb") as said:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        first = subprocess.Popen(
            command("search.run", *words, "--name", "s"), cwd=tmp_path, env=env, stdout=said, stderr=said
        )
    until(lambda: first.poll() is not None or epochs(out / "s") > 5, "it trains", 300)
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=30) == 130
    left = (tmp_path / "said").read_text()
    (job,) = re.findall(rf"stop it +python -m search.cluster stop (\S+) --address {dashboard}", left)
    before = epochs(out / "s")
    until(lambda: epochs(out / "s") > before, "it goes on alone")

    stopped = ended(*command("search.cluster", "stop", job, "--address", dashboard), cwd=tmp_path)
    assert stopped.returncode == 130, stopped.stderr
    assert "stopping: running trials finish their epoch and save a checkpoint" in stopped.stdout
    assert Record.open(out / "s").trials("running")

    resumed = ended(*command("search.run", *words, "--resume", "s"), cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    trials = Record.open(out / "s").trials()
    assert [trial.state for trial in trials] == ["complete"] * 3
    assert any("resumed_after" in trial.facts for trial in trials)


def epochs(study):
    return sum(len(trial.epochs) for trial in Record.open(study).trials()) if (study / JOURNAL).is_file() else 0


@pytest.mark.long
def test_a_mistake_has_the_exit_code_that_it_has_here(dashboard, tmp_path):
    space = tiny_study.write_space(tmp_path, trials=1)
    words = [space, "--address", dashboard, "--out", tmp_path / "runs", "--offline", "--data", "nowhere"]
    done = ended(*command("search.run", *words), cwd=tmp_path)
    assert done.returncode == 2
    assert "no dataset 'nowhere'" in done.stdout


def test_a_space_with_a_slip_is_not_sent(tmp_path, capsys):
    space = tiny_study.write_space(tmp_path, trials=1)
    space.write_text(space.read_text().replace("channels:", "chanels:"))
    assert run.main([str(space), "--address", "http://127.0.0.1:9"]) == 2
    assert "unknown key 'chanels'" in capsys.readouterr().err


def test_a_password_is_not_sent_where_ray_would_show_it(tmp_path, capsys):
    space = tiny_study.write_space(tmp_path, trials=1)
    to = ["--address", "http://127.0.0.1:9", "--tracking-uri", "http://me:geheim@host:5000"]
    assert run.main([str(space), *to]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Ray keeps a job's command line and shows it: write no password there, but into ")
    assert "geheim" not in line


def test_only_the_program_and_the_space_are_packed(tmp_path):
    space = tiny_study.write_space(tmp_path, trials=1)
    with jobs.packed([space], {"mine.py": "# mine\n"}) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["mgc", "mine.py", "search", space.name]
        assert (folder / "mine.py").read_text() == "# mine\n"
        kinds = {path.suffix for path in Path(folder).rglob("*") if path.is_file()}
        assert kinds == {".py", ".csv", ".txt", ".jinja", ".js", ".css", ".yaml", ".json", ".typed"}


def test_plugins_are_sent_as_they_are_here_and_named_by_their_names_there(tmp_path, monkeypatch):
    space = tiny_study.write_space(tmp_path, trials=1)
    file = tmp_path / "mine.py"
    file.write_text(
        'from mgc.plugins import metric\n\n\n@metric("ones", mode="max")\ndef ones(predictions):\n    return 1\n'
    )
    sent = {}
    monkeypatch.setattr(jobs, "run", lambda words, **more: sent.update(more, words=words) or 0)
    assert run.main([str(space), "--address", "http://127.0.0.1:9", "--plugin", str(file)]) == 0
    assert sent["words"] == [space.name, "--plugin", "mine.py"]
    assert sent["texts"] == {"mine.py": file.read_text()}
    use(())


def test_a_cluster_that_does_not_answer_is_said_in_a_line(tmp_path):
    space = tiny_study.write_space(tmp_path, trials=1)
    done = ended(*command("search.run", space, "--address", "http://127.0.0.1:9"), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no Ray cluster takes jobs at http://127.0.0.1:9: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_head_that_ssh_does_not_reach_is_said_in_a_line(tmp_path):
    space = tiny_study.write_space(tmp_path, trials=1)
    text = (ROOT / "cluster-onprem.yaml").read_text().replace("192.0.2.1  ", "127.0.0.2  ")
    (tmp_path / "cluster.yaml").write_text(text.replace("~/.ssh/id_ed25519", str(tmp_path / "no-key")))
    done = ended(*command("search.run", space, "--cluster", tmp_path / "cluster.yaml"), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ssh to ubuntu@127.0.0.2: ")
    assert len(done.stderr.splitlines()) == 1
