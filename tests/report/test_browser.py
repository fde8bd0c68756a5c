"""What a person sees in a browser: MLflow's pages of a study, and the report, in headless Chromium.

Chromium's own command line is enough for that: it prints a page as its scripts left it, and logs every request.
"""

import json
import re
import shutil
import subprocess
from types import SimpleNamespace
from urllib.parse import quote

import mlflow
import pytest
from servers import free_port, server

pytestmark = pytest.mark.slow

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--window-size=1500,1200",
]  # fmt: skip
PATIENCE_MS = 15_000
"""Of the page's own time, which stands still while a request is under way."""


@pytest.fixture(scope="module")
def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    return found


@pytest.fixture
def page(chromium, tmp_path):
    """Opens an address; gives the page's text as HTML and the addresses that it asked for."""

    def opened(url):
        log = tmp_path / "requests.json"
        command = [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}",
                   f"--virtual-time-budget={PATIENCE_MS}", "--dump-dom", url]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
        assert done.returncode == 0, done.stderr
        return done.stdout, requested(log.read_text())

    return opened


def requested(net_log):
    """Addresses that a page asked the network for; Chromium's own requests (updates, time) have no page behind them."""
    try:
        events = json.loads(net_log)["events"]
    except json.JSONDecodeError:  # the browser ended before it closed the list
        events = json.loads(net_log.rstrip().rstrip(",") + "]}")["events"]
    params = [event["params"] for event in events if "url" in event.get("params", {})]
    by_pages = {each["url"] for each in params if each.get("initiator", "not an origin") != "not an origin"}
    return {url for url in by_pages if re.match(r"(https?|wss?|ftp)://", url)}


@pytest.fixture(scope="module")
def address(whole_study, chromium):
    """Of MLflow's own server on the study's database."""
    port = free_port()
    with server(SimpleNamespace(folder=whole_study), port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def runs(whole_study):
    client = mlflow.MlflowClient(f"sqlite:///{whole_study.parent}/mlflow.db")
    experiment = client.get_experiment_by_name("whole")
    return client.search_runs([experiment.experiment_id])


def test_the_report_asks_the_network_for_nothing(whole_study, page):
    text, addresses = page((whole_study / "report" / "report.html").as_uri())
    assert "On 4 test tracks of music" in text
    assert text.count("<img") >= 6
    assert addresses == set()


def test_a_page_that_did_ask_would_be_found_out(tmp_path, page):
    (tmp_path / "page.html").write_text('<img src="http://127.0.0.1:9/picture.png">')
    _, addresses = page((tmp_path / "page.html").as_uri())
    assert addresses == {"http://127.0.0.1:9/picture.png"}


def test_the_experiment_page_lists_trials_best_first_with_their_params(address, runs, page):
    view = "viewStateShareKey=results&workflowType=machine_learning"
    text, _ = page(f"{address}/#/experiments/{runs[0].info.experiment_id}/runs?{view}")
    for run in runs:
        assert run.info.run_name in text
    for column in ("val_accuracy", "seed", "state", "epochs", "split"):
        assert column in text
    scores = {run.info.run_name: run.data.metrics["val_accuracy"] for run in runs if "r" in run.data.params}
    shown = list(dict.fromkeys(re.findall(r">(trial-\d+)<", text)))
    assert [scores[name] for name in shown] == sorted(scores.values(), reverse=True)
    for bookkeeping in ("time_since_restore", "training_iteration", "timesteps_total"):
        assert bookkeeping not in text


def test_the_compare_page_draws_parallel_coordinates_of_the_params(address, runs, page):
    trials = [run for run in runs if "r" in run.data.params]
    ids, experiments = [run.info.run_id for run in trials], [trials[0].info.experiment_id]
    query = f"runs={quote(json.dumps(ids))}&experiments={quote(json.dumps(experiments))}"
    text, _ = page(f"{address}/#/compare-runs?{query}")
    assert f"Comparing {len(trials)} Runs" in text
    assert "Parallel Coordinates Plot" in text
    drawn = text[text.index("js-plotly-plot") :]
    assert re.search(r'class="axis-title"[^>]*>r<', drawn) and re.search(
        r'class="axis-title"[^>]*>val_accuracy<', drawn
    )


def test_the_studys_page_explains_itself(address, runs, page):
    study = next(run for run in runs if run.info.run_name == "whole-001")
    text, _ = page(f"{address}/#/experiments/{study.info.experiment_id}/runs/{study.info.run_id}")
    assert "On 4 test tracks of music" in text
    assert "trial-000" in text
    artifacts, _ = page(f"{address}/#/experiments/{study.info.experiment_id}/runs/{study.info.run_id}/artifacts")
    for folder in ("report", "model"):
        assert f">{folder}<" in artifacts
