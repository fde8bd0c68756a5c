"""Plug-ins: what a file may add, what a mistake in it is answered with, and that only those in use count."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from plugin_files import refused, written
from tiny_dataset import clips_of, tiny_config, write_precomputed, write_tracks

from mgc.clips.clips import open_clips
from mgc.config import ClipShape, DataConfig
from mgc.datasets.registry import open_dataset
from mgc.models.registry import MODELS, model_class
from mgc.networks.effective import effective_network
from mgc.networks.training_config import training_config
from mgc.plugins import loading, use_files
from mgc.plugins.loading import in_use, use
from mgc.plugins.plugin import PluginError, read
from mgc.plugins.sources import named
from mgc.plugins.trying import try_network
from mgc.saved import load_model, save_model
from mgc.training.part_metrics import PART_METRICS
from mgc.training.training import Training
from mgc.words.errors import ConfigError

SHAPE = ClipShape(modality="spectrogram", bins=32, frames=38, samples=4800, picture=None)

MODEL = '''\
"""A mean over time, then a dense layer."""
from typing import Annotated

from pydantic import Field
from torch import nn

from mgc.plugins import FrontEnd, Network, model


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=3).flatten(1)


@model("mean")
class MeanConfig(Network):
    """Of the picture's rows, the means over time."""

    width: Annotated[int, Field(ge=1, le=64, description="hidden units")] = 8

    def build(self, shape, num_genres):
        inputs = shape.channels * shape.rows
        dense = [nn.Linear(inputs, self.width), nn.ReLU(), nn.Linear(self.width, num_genres)]
        return nn.Sequential(FrontEnd(shape), Mean(), *dense)
'''

METRIC = '''\
from mgc.plugins import metric


@metric("wrong", mode="min")
def wrong(predictions):
    """how many tracks have the wrong genre"""
    confusion = predictions.confusion("sum")
    return confusion.sum() - confusion.trace()
'''


# ---- models


def test_a_model_is_built_checked_and_trained_as_a_shipped_one() -> None:
    use_files(written(MODEL))
    config = tiny_config(write_tracks(Path("music"), [1.0, 1.2, 1.4, 1.6]))
    params = {**config.flat(), "model": "mean", "width": 4}
    own = {key: value for key, value in params.items() if key not in model_class("se_cnn").keys()}
    mine = training_config(own, data=config.data, epochs=2)
    [first, second] = Training(mine, open_clips(mine, progress=False))
    assert second.train_loss < first.train_loss
    with pytest.raises(ConfigError, match=r"^unknown key 'widht' \(did you mean 'width'\?\)$"):
        training_config({"model": "mean", "widht": 4}, data=DataConfig(), epochs=1)
    with pytest.raises(ConfigError, match=r"^width must be <= 64, got 65$"):
        training_config({"model": "mean", "width": 65}, data=DataConfig(), epochs=1)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("    def build(self, shape, num_genres):", "    def build(self, shape):",
         "mine.py:15: mean must have build(self, shape, num_genres), got build(self, shape)"),
        ("def build(", "def built(", "mine.py:15: mean must have build(self, shape, num_genres), got none"),
        ('"mean"', '"se_cnn"', "mine.py:15: there is a model 'se_cnn' already; give this one another name"),
        ('"mean"', '"My Mean"', "mine.py:15: a model's name must be small letters, digits and _, got 'My Mean'"),
        ('("mean")', "", 'mine.py:15: model needs a name: write @model("my_model")'),
        ("    width:", "    lr:",
         "mine.py:15: mean.lr is a hyperparameter of every model already; give this one another name"),
        (" = 8", "", "mine.py:15: every field of mean must have a default that keeps its own rules: width is missing"),
        (" = 8", " = 65",
         "mine.py:15: every field of mean must have a default that keeps its own rules: width must be <= 64, got 65"),
        ("(Network)", "", "mine.py:15: a model must be a class of Network, got 'MeanConfig'"),
        ("from torch import nn", "import no_such.part",
         "mine.py:5: needs the package no_such, which is not installed here"),
        ("from torch import nn", "from torch import nnn", "mine.py:5: cannot be imported: ImportError: cannot import"),
        ("from torch import nn", "1 / 0", "mine.py:5: cannot be imported: ZeroDivisionError: division by zero"),
        ("from torch import nn", "raise SystemExit(3)", "mine.py:5: cannot be imported: SystemExit: 3"),
        ("from torch import nn", "from torch import", "mine.py:5: is no Python: "),
        ('@model("mean")\n', "", 'mine.py: adds nothing: put @model("name"), @feature, @metric, @dataset or '),
    ],
)  # fmt: skip
def test_a_mistake_in_a_model_is_one_line_with_file_and_line(old: str, new: str, line: str) -> None:
    assert MODEL.count(old) == 1, old
    assert refused(MODEL.replace(old, new)).startswith(line)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("x.mean(dim=3).flatten(1)", "x.mean(dim=3)",
         "mine.py:21: mean(width=8) must give logits of the shape (2, 3) for 2 clips of 3 genres, got (2, 1, 3)"),
        ("x.mean(dim=3).flatten(1)", "x.flatten(1)",
         "mine.py:21: mean(width=8) fails on clips of 32 x 38: RuntimeError: "),
        ("return x.mean(dim=3).flatten(1)", "return None[0]",
         "mine.py:12: mean(width=8) fails on clips of 32 x 38: TypeError: "),
        ("return nn.Sequential", "nn.Sequential",
         "mine.py:21: mean.build must return a torch.nn.Module, got NoneType"),
        (", *dense)", ")", "mine.py:21: mean.build returns a network without weights to train"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_work_is_one_line_before_it_is_trained(old: str, new: str, line: str) -> None:
    assert MODEL.count(old) == 1, old
    use_files(written(MODEL.replace(old, new)))
    before = torch.random.get_rng_state()
    with pytest.raises(PluginError) as raised:
        try_network(model_class("mean")(), SHAPE, 3)
    assert str(raised.value).startswith(line)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_network_with_an_operation_that_the_meta_device_lacks_is_tried_with_values() -> None:
    use_files(written(MODEL.replace("x.mean(dim=3)", "(x * float(x.max())).mean(dim=3)")))
    try_network(model_class("mean")(), SHAPE, 3)


def test_the_key_of_a_network_has_the_plugins_text_and_a_shipped_one_has_not() -> None:
    def keys() -> tuple[str, str]:
        configs = (training_config({"model": name}, data=DataConfig(), epochs=1) for name in ("mean", "shallow"))
        mine, shipped = (effective_network(config, SHAPE, 3) for config in configs)
        return mine, shipped

    use_files(written(MODEL))
    mine, shipped = keys()
    use_files(written(MODEL.replace("x.mean(", "2 * x.mean(")))
    assert keys()[0] != mine
    assert keys()[1] == shipped


def test_a_changed_file_takes_the_place_of_what_it_added_before() -> None:
    use_files(written(MODEL))
    use_files(written(MODEL.replace(" = 8", " = 9")))
    assert model_class("mean")().model_dump() == {"width": 9}
    use(())
    assert "mean" not in MODELS


def test_a_model_is_saved_with_its_plugin_and_loaded_where_that_is_in_use(tmp_path: Path) -> None:
    use_files(written(MODEL))
    music = write_tracks(tmp_path / "music", [1.0, 1.2, 1.4, 1.6])
    params = {key: value for key, value in tiny_config(music).flat().items() if key not in model_class("se_cnn").keys()}
    config = training_config({**params, "model": "mean"}, data=tiny_config(music).data, epochs=1)
    training = Training(config, open_clips(config, progress=False))
    training.epoch()
    folder = save_model(tmp_path / "model", training)
    digest = in_use()[0].digest
    assert json.loads((folder / "config.json").read_text())["plugin"] == {"name": "mine.py", "digest": digest}
    x = clips_of(training.clips.shape, 3)
    expected = training.model.eval()(x)
    assert torch.equal(load_model(folder).model(x), expected)

    use(())
    needed = f"the model in {folder} was made with the plug-in mine.py (digest {digest}): add --plugin {folder}/mine.py"
    with pytest.raises(PluginError, match=f"^{re.escape(needed)}$"):
        load_model(folder)
    use_files(folder / "mine.py")
    assert torch.equal(load_model(folder).model(x), expected)
    use_files(written(MODEL + "\n"))
    with pytest.raises(PluginError, match=rf"^mine\.py has changed since the model in .* \(digest {digest} then, "):
        load_model(folder)


def test_a_model_of_a_plugin_can_be_exported_and_pickled_by_its_text_alone(tmp_path: Path) -> None:
    """A process that never saw the file uses the plug-in: what a Ray worker does."""
    use_files(written(MODEL))
    [plugin] = in_use()
    code = (
        "from mgc.plugins.plugin import Plugin; from mgc.plugins.loading import use\n"
        f"use([Plugin(name={plugin.name!r}, text={plugin.text!r})])\n"
        "from mgc.models.registry import model_class\n"
        "print(model_class('mean')().model_dump(), model_class('mean').plugin)"
    )
    Path("mine.py").unlink()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"{{'width': 8}} {plugin.digest}\n", done.stderr


# ---- metrics


def test_a_metric_is_computed_of_the_predictions_of_each_epoch() -> None:
    config = tiny_config(write_tracks(Path("music"), [1.0, 1.2, 1.4, 1.6]), epochs=1)
    use_files(written(METRIC))
    training = Training(config, open_clips(config, progress=False))
    metrics = training.epoch().metrics()
    num_tracks = training.clips.num_tracks("validation")
    assert metrics["val_wrong"] == round(num_tracks * (1 - metrics["val_accuracy_sum"]))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("def wrong(predictions)", "def wrong()", "mine.py:4: must be a function wrong(predictions), got wrong()"),
        ('"wrong"', '"accuracy"', "mine.py:4: there is a metric 'accuracy' already; give this one another name"),
        ('"min"', '"down"', "mine.py:4: mode of metric 'wrong' must be max or min, got 'down'"),
        ("return confusion.sum() - confusion.trace()", "return confusion",
         "mine.py:4: metric wrong must give a number, got "),
        ("predictions.confusion", "predictions.confusions",
         "mine.py:4: metric wrong failed: AttributeError: 'Predictions' object has no attribute 'confusions'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_metric_is_one_line_with_file_and_line(old: str, new: str, line: str) -> None:
    assert METRIC.count(old) == 1, old
    assert refused(METRIC.replace(old, new)).startswith(line)


# ---- datasets


def test_a_dataset_of_tracks_has_the_digest_of_its_files() -> None:
    music = write_tracks(Path("music").absolute(), [1.0, 1.2])
    use_files(
        written(f"""
from pathlib import Path
from mgc.plugins import Track, dataset

@dataset("little")
def little():
    for path in sorted(Path({str(music)!r}).glob("*/*.wav")):
        yield Track(track_id=path.stem, genre=path.parent.name, artist=path.stem, path=path)
""")
    )
    dataset = open_dataset("little")
    assert (dataset.name, dataset.genres, len(dataset.tracks)) == ("little", ("high", "low"), 4)
    first = dataset.tracks[0].path
    assert first is not None
    first.write_bytes(first.read_bytes() + b"\0\0")
    assert open_dataset("little").digest != dataset.digest


def test_a_dataset_may_be_the_path_of_features() -> None:
    write_precomputed(Path("f.npz"), torch.rand(8, 16, 20).numpy())
    use_files(
        written("""
from mgc.plugins import dataset

@dataset("features")
def features():
    return "f.npz"
""")
    )
    assert open_dataset("features").precomputed is not None


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return 1", "mine.py:3: dataset little must return tracks, or the path of an .npz, got 1"),
        ("return 'no.npz'", "mine.py:3: dataset little must return the path of an .npz file, got 'no.npz'"),
        ("return ['a']", "mine.py:3: dataset little must return Tracks, got 'a'"),
        ("return [Track(track_id='a', genre='x', artist=None, path=None)]",
         "mine.py:3: dataset little: a: path must be a Path, got None"),
        ("return 1 / 0", "mine.py:5: dataset little failed: ZeroDivisionError: division by zero"),
    ],
)  # fmt: skip
def test_a_dataset_that_cannot_be_opened_is_one_line(body: str, line: str) -> None:
    use_files(written(f'from mgc.plugins import Track, dataset\n\n@dataset("little")\ndef little():\n    {body}\n'))
    with pytest.raises(PluginError, match=f"^{re.escape(line)}$"):
        open_dataset("little")


def test_the_name_of_a_dataset_that_exists_is_refused() -> None:
    text = 'from mgc.plugins import dataset\n\n@dataset("gtzan")\ndef mine():\n    return []\n'
    assert refused(text) == "mine.py:3: there is a dataset 'gtzan' already; give this one another name"


# ---- which are used


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("no.py", "no.py: cannot be read: No such file or directory"),
        ("mine.txt", "mine.txt: a plug-in must be a file called like my_models.py, got 'mine.txt'"),
        ("no-utf8.py", "no-utf8.py: is no text in UTF-8: "),
        ("large.py", "large.py: a plug-in must have at most 1,000,000 bytes"),
    ],
)
def test_what_is_no_plugin_is_refused(path: str, line: str) -> None:
    Path("mine.txt").write_text(MODEL)
    Path("no-utf8.py").write_bytes(b"# \xff")
    Path("large.py").write_text("#" * 1_000_001)
    with pytest.raises(PluginError) as raised:
        read(path)
    assert str(raised.value).startswith(line)


def test_two_files_that_add_the_same_name_are_refused() -> None:
    with pytest.raises(
        PluginError, match=r"^other\.py:15: there is a model 'mean' already; give this one another name$"
    ):
        use_files(written(MODEL), written(MODEL + "\n", "other.py"))
    assert in_use() == ()


def test_the_variable_names_plugins_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGC_PLUGINS", f"{written(MODEL)}:{written(METRIC, 'wrong.py')}")
    assert [(plugin.name, plugin.is_asked) for plugin in named([])] == [("mine.py", False), ("wrong.py", False)]
    assert [(plugin.name, plugin.is_asked) for plugin in named(["mine.py"])] == [("mine.py", True), ("wrong.py", False)]


def install(folder: Path, module: str, text: str, group: str = "mgc.models") -> None:
    """A package with this module and its entry point, as pip leaves them in a folder."""
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text("")
    (folder / module / "sizes.py").write_text("WIDTH = 5\n")
    (folder / module / "models.py").write_text(text)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\nanything = {module}.models\n")


def test_an_installed_package_names_its_plugin_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    install(Path("site"), "ours_7", MODEL.replace(" = 8", " = WIDTH").replace('""""', '"""') + "\n")
    models = Path("site/ours_7/models.py")
    models.write_text(
        models.read_text().replace("from torch import nn", "from torch import nn\n\nfrom .sizes import WIDTH")
    )
    monkeypatch.syspath_prepend(Path("site").absolute())
    use_files()
    assert [plugin.name for plugin in in_use()] == ["ours_7.models.py"]
    assert model_class("mean")().model_dump() == {"width": 5}


@pytest.mark.parametrize("kind", ["models", "features", "metrics", "datasets", "samplers"])
def test_the_groups_of_entry_points_are_those_that_the_guide_names(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    assert f"`mgc.{kind}`" in (Path(__file__).parents[3] / "docs" / "plugins.md").read_text()
    install(Path("site"), f"ours_{kind}", METRIC, f"mgc.{kind}")
    monkeypatch.syspath_prepend(Path("site").absolute())
    assert [plugin.name for plugin in named([])] == [f"ours_{kind}.models.py"]


def test_an_installed_plugin_that_is_broken_is_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(Path("site"), "broken_7", "import no_such_package\n")
    monkeypatch.syspath_prepend(Path("site").absolute())
    use_files(written(MODEL))
    assert [plugin.name for plugin in in_use()] == ["mine.py"]
    assert "needs the package no_such_package, which is not installed here" in caplog.text


def test_an_import_by_other_means_enters_nothing() -> None:
    namespace: dict[str, Any] = {"__name__": "somewhere"}
    exec(compile(METRIC, "mine.py", "exec"), namespace)
    assert namespace["wrong"].__name__ == "wrong"
    assert not PART_METRICS
    assert loading.in_use() == ()
