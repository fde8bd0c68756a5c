"""How trials share a GPU: the arithmetic, a study with a card that Ray was only told of, and a real card."""

import shutil
from types import SimpleNamespace

import pytest
import ray
import torch
from tiny_dataset import CLIPS, PARAMS, SMALL_NETWORK, write_tracks

from benchmarks import gpu, tiny_study
from benchmarks.memory import write_features
from mgc.config import ConfigError
from mgc.cutting import clip_shape
from mgc.datasets import open_dataset
from search import sharing
from search.driver import Options, run_study
from search.prepare import prepare
from search.record import Record
from search.sharing import MOST, SPARE, Peak, fitting, largest, needed_bytes
from search.space import Space
from search.study import CUDA_CONTEXT_BYTES, Resources

GIB = 1 << 30


def peak(gib=4.0, *, of_gib=80, fits=True):
    return Peak(device="card", total_bytes=of_gib * GIB, peak_bytes=int(gib * GIB), fits=fits)


@pytest.mark.parametrize("gib", [0.1, 1.0, 4.0, 30.0])
def test_as_many_trials_share_a_card_as_have_the_peak_and_no_more(gib):
    number = fitting(peak(gib), at_most=1000)
    needed = SPARE * gib * GIB + CUDA_CONTEXT_BYTES
    assert number * needed <= 80 * GIB < (number + 1) * needed


def test_one_trial_at_least_and_no_more_than_asked_for():
    assert fitting(peak(90.0), at_most=8) == 1
    assert fitting(peak(0.1, fits=False), at_most=8) == 1
    assert fitting(peak(0.1), at_most=8) == 8


def test_auto_or_a_number():
    assert Resources.checked({"trials_per_gpu": "auto"}).known_per_gpu == 1
    assert Resources.checked({"trials_per_gpu": 6}).known_per_gpu == 6
    with pytest.raises(ConfigError, match=r"^trials_per_gpu must be a number or auto, got 'aut'$"):
        Resources.checked({"trials_per_gpu": "aut"})
    with pytest.raises(ConfigError, match=rf"^trials_per_gpu must be <= {MOST}, got 65$"):
        Resources.checked({"trials_per_gpu": MOST + 1})


SPACE = """
data: {dataset: synthetic}
params:
  model: se_cnn
  channels: {choice: [[16, 32, 64, 64, 64], [8, 8, 8, 8, 8]]}
  batch_size: {choice: [16, 64, 32]}
  clip_seconds: {choice: [2.0, 6.0]}
  dropout: {uniform: [0.0, 0.5]}
"""


@pytest.fixture
def ground(tmp_path):
    (tmp_path / "sizes.yaml").write_text(SPACE)
    return prepare(Space.load(tmp_path / "sizes.yaml"), device="cpu", make=False)


def test_the_largest_config_has_the_widest_network_the_longest_clips_and_the_largest_batch(ground):
    params = largest(ground)
    assert (params["channels"], params["batch_size"], params["clip_seconds"]) == ([16, 32, 64, 64, 64], 64, 6.0)


def test_an_estimate_counts_what_autograd_keeps(ground):
    """The same network on real clips: what its backward pass will read, without the weights."""
    config = ground.space.check_params({**largest(ground), "batch_size": 3})
    shape = clip_shape(config, ground.dataset)
    network = config.model.architecture(shape, 10)
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.setdefault(x.data_ptr(), x), lambda x: x):
        torch.nn.functional.cross_entropy(network(torch.rand(3, 1, shape.bins, shape.frames)), torch.zeros(3).long())
    weights = {weight.data_ptr(): weight for weight in network.parameters()}
    expected = sum(x.nbytes for at, x in kept.items() if at not in weights)
    expected += 4 * sum(weight.nbytes for weight in weights.values())
    assert needed_bytes(config, shape, 10) == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
def test_a_study_decides_once_how_many_share_a_card(tmp_path, monkeypatch):
    """Ray is told of a card here: what was measured on it is given, everything else is real."""
    asked = []

    def measured(spec, digest):
        asked.append(spec["params"])
        return ray.put(peak(gib=30.0))

    monkeypatch.setattr(sharing, "_measure", SimpleNamespace(remote=measured))
    path = tiny_study.write_space(tmp_path, trials=2)
    space = Space.load(path, overrides=["resources.trials_per_gpu=auto", "resources.cpus_per_trial=1"])
    given = {"out": tmp_path / "runs", "name": "g", "address": "local", "offline": True, "quiet": True, "num_gpus": 1}
    record = run_study(space, Options(**given)).record
    assert record.notes()[sharing.NOTE]["trials_per_gpu"] == 2
    assert len(record.trials("complete")) == 2
    more = Space.load(path, overrides=["resources.trials_per_gpu=auto", "search.trials=3"])
    assert len(run_study(more, Options(**given, resume=True)).record.trials("complete")) == 3
    assert len(asked) == 1
    assert sharing.known(record, more.resources).trials_per_gpu == 2
    assert sharing.known(record, Resources(trials_per_gpu=5)).trials_per_gpu == 5


@pytest.mark.slow
def test_without_a_card_that_can_be_asked_there_is_one_trial_on_it(tmp_path, capfd):
    if torch.cuda.is_available():
        pytest.skip("has a GPU")
    path = tiny_study.write_space(tmp_path, trials=1)
    space = Space.load(path, overrides=["resources.trials_per_gpu=auto"])
    given = {"out": tmp_path / "runs", "name": "g", "address": "local", "offline": True, "num_gpus": 1}
    record = run_study(space, Options(**given)).record
    assert record.notes()[sharing.NOTE] == {
        "trials_per_gpu": 1,
        "params": record.notes()[sharing.NOTE]["params"],
        "peak": None,
    }
    assert "trials_per_gpu auto: 1, since no card could be asked" in capfd.readouterr().err


@pytest.mark.slow
def test_the_benchmark_of_shared_cards_counts_what_its_study_did(tmp_path):
    """On whatever device there is, with few clips and a small network."""
    data = write_features(tmp_path / "random.npz", 16, bins=gpu.BINS, frames=gpu.FRAMES)
    small = ["search.trials=2", "budget.epochs=2", "params.channels=[2, 2, 2, 2, 2]"]
    run = gpu.measure(data, tmp_path, "2", small)
    record = Record.open(tmp_path / "2")
    assert [trial.params["clip_overlap"] for trial in record.trials("complete")] == [0.5, 0.5]
    assert run.trials == 2 and run.clips_per_s * run.seconds == pytest.approx(2 * 2 * 19 * 8)  # of 16 tracks half
    assert 0 < run.of_matrix_rate < 1
    assert (run.load is None) == (shutil.which("nvidia-smi") is None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_card_tells_what_the_largest_config_takes(tmp_path):
    music = write_tracks(tmp_path / "tones", [1.2] * 8)
    data = {"dataset": str(music), "split": "track", "ratios": [2, 1, 1]}
    spec = {"params": {**PARAMS, **SMALL_NETWORK, **CLIPS}, "seed": 0, "data": data, "epochs": 2}
    found = sharing._measure._function(spec, open_dataset(str(music)).digest)
    assert found.fits and 0 < found.peak_bytes < found.total_bytes
