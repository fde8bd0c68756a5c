"""`python -m search.new`: a first space file, which the checker takes, and which replaces nothing."""

import re
from pathlib import Path

import pytest
from tiny_dataset import write_tracks

from mgc.config import DataConfig
from mgc.models.registry import MODELS
from search.new import main
from search.space.document import read_text
from search.space.shipped import SHIPPED
from search.space.space import Space
from search.space.starter import starter


def loaded(text):
    return Space.of(read_text(text, "x.yaml"), "x.yaml", strict=True)


@pytest.mark.parametrize("model", MODELS)
def test_every_param_of_a_model_is_there_and_every_remark_can_become_a_param(model):
    text = starter(MODELS[model], DataConfig(), "here")
    keys = set(re.findall(r"^  (?:# )?(\w+): ", text, flags=re.MULTILINE))
    assert keys == {key for key in loaded(text).check_params({"model": model}).flat() if key != "seed"}
    for line in re.findall(r"^  # \w+: .*", text, flags=re.MULTILINE):
        assert len(loaded(text.replace(line, line.replace("# ", "", 1))).params) == 1 + len(loaded(text).params)


def test_the_file_is_a_space_of_these_data_whose_schema_the_editor_finds(tmp_path, monkeypatch, capsys):
    write_tracks(tmp_path / "my music", [0.5, 0.6, 0.7])
    monkeypatch.chdir(tmp_path)
    assert main(["mine.yaml", "--data", "my music", "--model", "shallow"]) == 0
    space = Space.load("mine.yaml")
    assert (space.data.dataset, space.data.split) == (str(tmp_path / "my music"), "artist")
    assert list(space.varying) == ["lr", "batch_size", "dropout"]
    first, *_ = (tmp_path / "mine.yaml").read_text().splitlines()
    assert Path(first.partition("$schema=")[2]).samefile(SHIPPED / "schema.json")
    assert capsys.readouterr().out == (
        "mine.yaml searches lr, batch_size, dropout of shallow on 6 tracks, 2 genres, no artist named; split artist\n"
        "next     python -m search.run mine.yaml --dry-run\n"
    )


def test_the_split_is_one_that_can_divide_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_tracks(tmp_path / "music", [0.5, 0.6, 0.7])
    rows = [f"{path.relative_to(folder)},one" for path in folder.rglob("*.wav")]
    (folder / "tracks.csv").write_text("\n".join(["path,artist", *rows]) + "\n")
    assert main(["by_track.yaml", "--data", str(folder)]) == 0
    assert Space.load("by_track.yaml").data.split == "track"


def test_a_file_that_is_there_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("mine")
    assert main(["mine.yaml"]) == 2
    assert capsys.readouterr().err == "error: mine.yaml: is there already, and is never written over\n"
    assert (tmp_path / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["mine.txt"], "a space file must end in .yaml, got 'mine.txt'"),
        (["mine.yaml", "--model", "se_cn"], "unknown model 'se_cn' (did you mean 'se_cnn'?)"),
        (["nowhere/mine.yaml"], "nowhere/mine.yaml: No such file or directory"),
    ],
)
def test_a_mistake_is_a_line_and_leaves_no_file(tmp_path, monkeypatch, capsys, words, line):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {line}\n"
    assert not list(tmp_path.iterdir())
