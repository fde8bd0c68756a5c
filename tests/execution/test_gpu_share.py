"""How trials share a GPU: the arithmetic, a study with a card that Ray was only told of, and a real card."""

import shutil
from types import SimpleNamespace

import pytest
import ray
import torch
from tiny_dataset import CLIPS, PARAMS, SMALL_NETWORK, write_tracks

from benchmarks import gpu, tiny_study
from benchmarks.memory import write_features
from benchmarks.training import RandomClips
from mgc.clips.cutting import clip_shape
from mgc.config import ClipShape
from mgc.datasets.registry import open_dataset
from mgc.models.registry import MODELS
from mgc.networks.networks import random_clips
from mgc.words.errors import ConfigError
from search.execution import gpu_share
from search.execution.gpu_share import COPIES_OF_WEIGHTS, estimated_bytes, largest_config, step_bytes
from search.execution.ground import prepare
from search.execution.spec import TrialSpec
from search.machines.slots import CUDA_CONTEXT_BYTES, SPARE, Peak, trials_that_fit
from search.record.notes import GPU_PEAK
from search.record.record import Record
from search.settings.sections import MAX_PER_GPU, Resources
from search.space.space import Space
from search.study.plan import SearchOptions
from search.study.searching import run_study

GIB = 1 << 30


def peak(gib=4.0, *, of_gib=80, fits=True):
    return Peak(device="card", total_bytes=of_gib * GIB, peak_bytes=int(gib * GIB), fits=fits)


@pytest.mark.parametrize("gib", [1.3, 4.0, 30.0])
def test_as_many_trials_share_a_card_as_have_the_peak_beside_the_driver_and_no_more(gib):
    number = trials_that_fit(peak(gib), at_most=1000)
    needed, there = SPARE * gib * GIB + CUDA_CONTEXT_BYTES, 80 * GIB - CUDA_CONTEXT_BYTES
    assert number * needed <= there < (number + 1) * needed


def test_one_trial_at_least_and_no_more_than_asked_for():
    assert trials_that_fit(peak(90.0), at_most=8) == 1
    assert trials_that_fit(peak(0.1, fits=False), at_most=8) == 1
    assert trials_that_fit(peak(0.1), at_most=8) == 8
    assert trials_that_fit(peak(0.001), at_most=1000) == MAX_PER_GPU


def test_auto_or_a_number():
    assert Resources.checked({"trials_per_gpu": "auto"}).known_per_gpu == 1
    assert Resources.checked({"trials_per_gpu": 6}).known_per_gpu == 6
    with pytest.raises(ConfigError, match=r"^trials_per_gpu must be a number or auto, got 'aut'$"):
        Resources.checked({"trials_per_gpu": "aut"})
    with pytest.raises(ConfigError, match=rf"^trials_per_gpu must be <= {MAX_PER_GPU}, got 65$"):
        Resources.checked({"trials_per_gpu": MAX_PER_GPU + 1})


SPACE = """
data: {dataset: synthetic}
params:
  model: {choice: [se_cnn, crnn_rnn]}
  channels: {choice: [[16, 32, 64, 64, 64], [8, 8, 8, 8, 8]], when: {model: se_cnn}}
  batch_size: {choice: [16, 64, 32]}
  clip_seconds: {choice: [2.0, 3.0]}
  dropout: {value: 0.0, when: {model: se_cnn}}
"""


@pytest.fixture
def ground_of(tmp_path):
    def load(text=SPACE):
        (tmp_path / "sizes.yaml").write_text(text)
        return prepare(Space.load(tmp_path / "sizes.yaml"), device="cpu", make=False)

    return load


@pytest.mark.slow
def test_the_largest_config_has_the_widest_network_the_longest_clips_and_the_largest_batch(ground_of):
    """Of a model with large dense or recurrent weights and one with large maps, the latter needs more."""
    params = largest_config(ground_of())
    assert (params["model"], params["channels"]) == ("se_cnn", [16, 32, 64, 64, 64])
    assert (params["batch_size"], params["clip_seconds"]) == (64, 3.0)


@pytest.mark.slow
def test_the_largest_config_keeps_the_limits_and_may_be_the_reference(ground_of):
    few = ground_of(SPACE + "search: {constraints: {num_weights: {max: 20000}}}\n")
    assert largest_config(few)["channels"] == [8, 8, 8, 8, 8]
    wide = {"model": "se_cnn", "channels": [64, 128, 128, 128, 128], "batch_size": 64, "clip_seconds": 3.0}
    text = SPACE + f"reference: {wide}\n".replace("'", '"')
    ground = ground_of(text)
    assert largest_config(ground)["channels"] == wide["channels"]
    assert estimated_bytes(ground, ground.space.reference) > max(
        estimated_bytes(ground, p) for p in ground.space.sample(10)
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")
@pytest.mark.parametrize("model", [name for name in MODELS if not name.startswith(("efficientnet", "vgg"))])
def test_an_estimate_counts_what_autograd_keeps(ground_of, model):
    """Beside the weights: what the backward pass of the same network reads after real clips. oneDNN is off, whose LSTM
    on the CPU keeps a workspace that neither the meta device nor a GPU has.
    """
    ground = ground_of(f"data: {{dataset: synthetic}}\nparams: {{model: {model}, batch_size: 3, clip_seconds: 3.0}}\n")
    config = ground.space.check_params(ground.space.sample(1)[0])
    shape = clip_shape(config, ground.dataset)
    network = config.model.build(shape, 10)
    kept = {}

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x
        return x

    plain = torch.backends.mkldnn.flags(enabled=False)
    with plain, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        torch.nn.functional.cross_entropy(network(random_clips(shape, 3, torch.device("cpu"))), torch.zeros(3).long())
    weights = {weight.untyped_storage().data_ptr(): weight for weight in network.parameters()}
    of_weights = COPIES_OF_WEIGHTS * sum(weight.nbytes for weight in weights.values())
    of_clips = sum(x.untyped_storage().nbytes() for at, x in kept.items() if at not in weights)
    assert step_bytes(config, shape, 10) - of_weights == pytest.approx(of_clips, rel=0.005)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Studies with a card that Ray is told of: what is said to be measured on it is given, all else is real."""
    path = tiny_study.write_space(tmp_path, trials=2)
    monkeypatch.setattr(gpu_share, "cores_per_card", lambda: 8)

    def run(answer=None, *, resume=False, trials=2):
        asked = []
        if answer is not None:
            remote = lambda spec: asked.append(spec.params) or ray.put(answer)  # noqa: E731
            monkeypatch.setattr(gpu_share, "_train_an_epoch", SimpleNamespace(remote=remote))
        space = Space.load(path, overrides=["resources.trials_per_gpu=auto", f"search.trials={trials}"])
        given = {"name": "g", "address": "local", "offline": True, "num_gpus": 1, "resume": resume}
        return run_study(space, SearchOptions(out=tmp_path / "runs", **given)).record, asked

    return run


@pytest.mark.slow
def test_a_study_measures_once_and_packs_its_trials_by_that(study, capfd):
    record, asked = study(peak(gib=30.0))
    assert len(asked) == 1 and len(record.trials("complete")) == 2
    said = capfd.readouterr().err
    assert "trials_per_gpu auto: 2; the largest config took 30.00 of the 80.0 GiB of card" in said
    assert "1 CPU each, 2 share a GPU and its memory" in said
    record, asked = study(peak(gib=70.0), resume=True, trials=3)
    assert not asked and len(record.trials("complete")) == 3
    assert "2 share a GPU and its memory" in capfd.readouterr().err


@pytest.mark.long
@pytest.mark.slow
def test_another_card_is_measured_again(study, capfd, monkeypatch):
    study(peak(gib=30.0))
    monkeypatch.setattr(gpu_share, "cards", lambda: ["accelerator_type:T4"])
    _, asked = study(peak(gib=10.0, of_gib=16), resume=True, trials=3)
    assert len(asked) == 1
    assert "trials_per_gpu auto: 1; the largest config took 10.00 of the 16.0 GiB" in capfd.readouterr().err


@pytest.mark.long
@pytest.mark.slow
def test_where_nothing_can_be_measured_one_trial_has_the_card_and_the_next_start_asks_again(study, capfd):
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    record, _ = study()
    assert record.noted(GPU_PEAK) is None and len(record.trials("complete")) == 2
    said = capfd.readouterr().err
    assert "trials_per_gpu auto: 1, since that could not be measured: torch sees no GPU there" in said


@pytest.mark.long
@pytest.mark.slow
def test_a_card_that_is_never_free_is_not_waited_for_for_ever(study, capfd, monkeypatch):
    @ray.remote
    def never(*_):
        import threading

        threading.Event().wait()

    monkeypatch.setattr(gpu_share, "WAIT_S", 1.0)
    monkeypatch.setattr(gpu_share, "_train_an_epoch", never)
    record, _ = study()
    assert len(record.trials("complete")) == 2
    assert "could not be measured: no GPU was free for" in capfd.readouterr().err


@pytest.mark.long
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


def test_the_benchmark_of_training_has_its_clips_on_the_device():
    shape = ClipShape(modality="spectrogram", bins=8, frames=8, samples=1024, picture=None)
    for batch in RandomClips(shape, 8, "meta").batches("train", 4, generator=torch.Generator()):
        assert {each.device.type for each in batch} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_card_tells_what_the_largest_config_takes(tmp_path):
    music = write_tracks(tmp_path / "tones", [1.2] * 8)
    data = {"dataset": str(music), "split": "track", "ratios": [2, 1, 1]}
    params, digest = {**PARAMS, **SMALL_NETWORK, **CLIPS}, open_dataset(str(music)).digest
    spec = TrialSpec(params=params, seed=0, data=data, epochs=2, folder="", dataset_digest=digest)
    found = gpu_share._train_an_epoch._function(spec)
    assert found.fits and 0 < found.peak_bytes < found.total_bytes
