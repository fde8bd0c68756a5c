"""Space files: what they may say, what is drawn from them, and the one line that every mistake gets."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mgc.words.errors import ConfigError
from search import Space
from search.space.describe import describe, tree
from search.space.document import SpaceError, read_file
from search.space.domains import Choice, Domain, Float, Int, values
from search.space.schema import space_schema
from search.space.space import difference

SPACES = Path(__file__).parents[2] / "spaces"

SE_RATIO = """\
# yaml-language-server: $schema=schema.json
description: 50-trial Bayesian search for the SE reduction ratio r
data: {dataset: synthetic, split: artist, ratios: [50, 30, 20]}
params:
  model: se_cnn
  r: {uniform: [2, 64]}
  channels: [32, 64, 128, 256, 128]
  se_blocks: [1, 2, 3, 4, 5]
  dropout: 0.25
  spectrogram: log_mel
  n_mels: 64
  n_fft: 2048
  hop_length: 1024
  clip_seconds: 3.0
  clips_per_track: 3        # spread evenly over the track; clip_overlap: 0.5 instead takes all (19 of a 30 s track)
  batch_size: 32
  lr: 0.001
search: {sampler: tpe, trials: 50, metric: val_accuracy, mode: max, seed: 0}
budget: {min_epochs: 1, max_epochs: 9, reduction_factor: 3}
resources: {cpus_per_trial: 1, trials_per_gpu: 4}
profiles:
  paper: {data.dataset: gtzan, params.spectrogram: stft_db, params.n_fft: 1024, params.hop_length: 512, \
params.clip_overlap: 0.5, budget.max_epochs: 30}
"""
"""What the broken spaces below are made of: one that searches a single param, with a profile."""

CONDITIONAL = """\
data: {dataset: synthetic, folds: 3}
params:
  model: se_cnn
  r: {uniform: [2, 64], when: {optimizer: [adamw, sgd]}}
  optimizer: {choice: [adam, adamw, sgd]}
  channels: {choice: [[8, 8, 8, 8, 8], [16, 16, 16, 16, 16]]}
  weight_decay: {loguniform: [1e-6, 0.1], when: {optimizer: adamw, batch_size: 32}}
  batch_size: {choice: [16, 32], when: {optimizer: [adamw]}}
  n_fft: {choice: [1024, 2048]}
  hop_length: {int: [128, 1024]}
  beta1: {value: 0.5, when: {optimizer: sgd}}
"""

GRID = """\
data: {folds: 3, fold: {grid: [0, 1, 2]}}
params:
  model: se_cnn
  optimizer: {grid: [adam, sgd]}
  r: {grid: [8, 16], when: {optimizer: adam}}
  dropout: {grid: [0.1, 0.5], when: {r: 16}}
  seed: {grid: [0, 1]}
search: {sampler: grid}
budget: {epochs: 2}
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a space file and gives the name by which errors know it."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes) -> Path:
        path = Path("x.yaml")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def loaded(path: Path) -> Space | str:
    """The space, or its error's line."""
    try:
        return Space.load(path)
    except SpaceError as error:
        return one_line(error)


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    return text


def changed(old: str, new: str) -> str:
    assert SE_RATIO.count(old) == 1, old
    return SE_RATIO.replace(old, new)


# ---- what a file says


def test_shipped_space_reads_as_the_readme_says() -> None:
    space = Space.load(SPACES / "se_ratio.yaml")
    assert space.name == "se_ratio"
    assert space.varying.keys() == {"r"}
    assert space.varying["r"].domain == Float(2.0, 64.0)
    assert space.params["channels"].value == [32, 64, 128, 256, 128]
    assert (space.search.sampler, space.num_trials, space.budget.rungs()) == ("auto", 50, (4,))
    assert space.resources.trials_per_gpu == 4
    assert space.data.ratios == (50, 30, 20)


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_space_loads_and_names_its_schema(path: Path) -> None:
    Space.load(path)
    assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n")


@pytest.mark.parametrize(
    ("written_as", "domain"),
    [
        ("lr: {uniform: [1e-4, 1]}", Float(0.0001, 1.0)),
        ("lr: {loguniform: [1e-4, 1]}", Float(0.0001, 1.0, log=True)),
        ("batch_size: {int: [8, 64]}", Int(8, 64)),
        ("batch_size: {int: [8, 64], step: 8}", Int(8, 64, step=8)),
        ("beta1: {uniform: [0.8, 0.95], step: 0.05}", Float(0.8, 0.95, step=0.05)),
        ("batch_size: {logint: [8, 64]}", Int(8, 64, log=True)),
        ("channels: {choice: [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]]}", Choice(([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]))),
    ],
)
def test_domains(written: Any, written_as: str, domain: Domain) -> None:
    space = Space.load(written(f"params: {{model: se_cnn, {written_as}}}"))
    (param,) = space.varying.values()
    assert param.domain == domain


def test_1e_4_is_a_number(written: Any) -> None:
    space = Space.load(written("params: {model: se_cnn, lr: 1e-4}"))
    assert space.check_params(space.sample(1)[0]).optimizer.lr == 0.0001


def test_precedence_is_file_profile_data_set(written: Any) -> None:
    path = written("params: {model: se_cnn, lr: 0.1}\nprofiles: {p: {params.lr: 0.2, data.dataset: a}}")
    load = Space.load
    assert load(path).params["lr"].value == 0.1
    assert load(path, profile="p").params["lr"].value == 0.2
    assert load(path, profile="p").data.dataset == "a"
    assert load(path, profile="p", data="b").data.dataset == "b"
    assert load(path, profile="p", data="b", overrides=["data.dataset=c"]).data.dataset == "c"
    assert load(path, profile="p", overrides=["params.lr=0.3", "params.lr=0.4"]).params["lr"].value == 0.4


def test_epochs_replace_min_and_max_and_the_other_way_round(written: Any) -> None:
    path = written(SE_RATIO)
    space = Space.load(path, overrides=["budget.epochs=4"])
    assert (space.budget.full, space.budget.rungs()) == (4, ())
    back = Space.load(path, overrides=["budget.epochs=4", "budget.max_epochs=27"])
    assert (back.budget.full, back.budget.rungs()) == (27, (1, 3, 9))


def test_set_keeps_the_condition_of_a_param(written: Any) -> None:
    for value in ("16", "{choice: [16]}"):
        space = Space.load(written(CONDITIONAL), overrides=[f"params.r={value}"])
        assert {config.get("r") for config in space.sample(30)} == {16, None}


def test_set_may_narrow_a_param_that_others_depend_on(written: Any) -> None:
    space = Space.load(written(CONDITIONAL), overrides=["params.optimizer=adam"])
    assert all("r" not in config for config in space.sample(5))


def test_params_that_give_the_seed_allow_repeats(written: Any) -> None:
    assert Space.load(written(SE_RATIO)).search.on_repeat == "reseed"
    assert Space.load(written(SE_RATIO), overrides=["search.on_repeat=reuse"]).search.on_repeat == "reuse"
    assert Space.load(written(SE_RATIO), overrides=["params.seed=3"]).search.on_repeat == "allow"


# ---- what is drawn from it


def test_walk_asks_for_active_domains_only_and_conditions_first(written: Any) -> None:
    space = Space.load(written(CONDITIONAL))
    asked: list[str] = []

    def first(name: str, domain: Domain) -> Any:
        asked.append(name)
        return domain.ends()[0]

    def last(name: str, domain: Domain) -> Any:
        asked.append(name)
        return domain.ends()[-1]

    assert space.walk(last)["r"] == 64
    assert asked.index("optimizer") < asked.index("r")
    asked.clear()
    config = space.walk(first)
    assert config["optimizer"] == "adam"
    assert not {"r", "weight_decay", "batch_size", "beta1"} & {*config, *asked}


def test_nested_conditions_hold_only_where_their_own_do(written: Any) -> None:
    for config in Space.load(written(CONDITIONAL)).sample(200):
        assert ("batch_size" in config) == (config["optimizer"] == "adamw")
        assert ("weight_decay" in config) == (config.get("batch_size") == 32)
        assert ("beta1" in config) == (config["optimizer"] == "sgd")


def test_samples_are_valid_repeatable_and_in_the_file_s_order(written: Any) -> None:
    space = Space.load(written(CONDITIONAL))
    configs = space.sample(50, seed=3)
    assert configs[:10] == space.sample(10, seed=3) != space.sample(10, seed=4)
    for config in configs:
        space.check_params(config)
        assert list(config) == [name for name in space.params if name in config]


def test_grid_has_each_combination_once_under_conditions(written: Any) -> None:
    space = Space.load(written(GRID))
    grid = space.grid()
    branches = [("sgd", None, None), ("adam", 8, None), ("adam", 16, 0.1), ("adam", 16, 0.5)]
    expected = {(*branch, fold, seed) for branch in branches for fold in (0, 1, 2) for seed in (0, 1)}
    keys = ("optimizer", "r", "dropout", "fold", "seed")
    assert len(grid) == len(expected) == space.size == space.num_trials
    assert {tuple(config.get(key) for key in keys) for config in grid} == expected
    assert space.check_params(grid[-1]).data.fold == 2


def test_size_counts_what_can_be_counted(written: Any) -> None:
    assert Space.load(written(SE_RATIO)).size == math.inf
    assert Space.load(written(SE_RATIO), overrides=["params.r=16"]).size == 1
    assert Space.load(written(SE_RATIO), overrides=["params.r={int: [2, 64]}"]).size == 63


def test_trials_limit_a_grid(written: Any) -> None:
    assert Space.load(written(GRID), overrides=["search.trials=5"]).num_trials == 5
    assert Space.load(written(GRID), overrides=["search.trials=500"]).num_trials == 24


def test_check_params_is_the_full_budget_and_refuses_strangers(written: Any) -> None:
    space = Space.load(written(SE_RATIO))
    assert space.check_params(space.sample(1)[0]).epochs == 9
    with pytest.raises(ConfigError, match=r"^unknown key 'dropuot' \(did you mean 'dropout'\?\)$"):
        space.check_params({"model": "se_cnn", "dropuot": 3})


def test_float_ends_are_reached_but_not_passed() -> None:
    rng = random.Random(0)
    for log in (False, True):
        drawn = [Float(0.1, 0.3, log=log).sample(rng) for _ in range(1000)]
        assert 0.1 <= min(drawn) < 0.11
        assert 0.29 < max(drawn) <= 0.3


def test_a_step_leaves_its_values_alone_as_they_are_written() -> None:
    rng = random.Random(0)
    for domain, listed in (
        (Float(0.1, 0.5, step=0.1), (0.1, 0.2, 0.3, 0.4, 0.5)),
        (Int(16, 48, step=16), (16, 32, 48)),
    ):
        assert values(domain) == listed
        assert domain.size == len(listed)
        assert {domain.sample(rng) for _ in range(100)} == set(listed)


def test_a_step_is_part_of_what_a_space_means(written: Any) -> None:
    text = "params: {model: se_cnn, n_mels: {int: [32, 128]}, lr: {uniform: [1, 3]}}"
    plain = Space.load(written(text)).canonical()
    assert Space.load(written(text.replace("128]", "128], step: 1"))).canonical() == plain
    stepped = Space.load(written(text.replace("128]", "128], step: 16").replace("3]}}", "3], step: 1}}")))
    assert stepped.size == 7 * 3
    assert difference(plain, stepped.canonical()) == [
        'params.lr: {"uniform": [1.0, 3.0]} -> {"uniform": [1.0, 3.0], "step": 1.0}',
        'params.n_mels: {"int": [32, 128]} -> {"int": [32, 128], "step": 16}',
    ]


def test_logint_draws_each_octave_alike() -> None:
    rng = random.Random(0)
    drawn = [Int(1, 64, log=True).sample(rng) for _ in range(4000)]
    assert set(drawn) <= set(range(1, 65))
    low, high = (sum(1 for value in drawn if start <= value < 2 * start) for start in (4, 16))
    assert low == pytest.approx(high, rel=0.2)


@pytest.mark.parametrize("values", [("se_cnn", "crnn"), ([8, 16], [16]), (1, 2.5, False, None), ("a", ["a"])])
def test_labels_lead_back_to_their_values(values: tuple[Any, ...]) -> None:
    choice = Choice(values)
    assert [choice.from_label(label) for label in choice.labels()] == list(values)
    assert all(isinstance(label, str) for label in choice.labels())


def test_canonical_is_plain_json_and_blind_to_spelling(written: Any) -> None:
    space = Space.load(written(CONDITIONAL))
    assert json.loads(json.dumps(space.canonical())) == space.canonical()
    respelled = CONDITIONAL.replace("[2, 64]", "[2.0, 64.0]").replace(
        "when: {optimizer: sgd}", "when: {optimizer: [sgd]}"
    )
    assert Space.load(written(respelled)).canonical() == space.canonical()


def test_difference_is_one_line_per_key(written: Any) -> None:
    old = Space.load(written(SE_RATIO)).canonical()
    assert difference(old, old) == []
    overrides = ["params.r={int: [2, 9]}", "params.seed=1", "search.trials=9", "data.split=clip"]
    new = Space.load(written(SE_RATIO), overrides=overrides).canonical()
    assert difference(old, new) == [
        "data.split: artist -> clip",
        'params.r: {"uniform": [2.0, 64.0]} -> {"int": [2, 9]}',
        "params.seed: absent -> 1",
        "search.on_repeat: reseed -> allow",
    ]


def test_tree_shows_each_param_under_its_condition(written: Any) -> None:
    assert tree(Space.load(written(GRID)).params).splitlines() == [
        "model      se_cnn",
        "optimizer  grid [adam, sgd]",
        "  when optimizer = adam",
        "    r          grid [8, 16]",
        "      when r = 16",
        "        dropout    grid [0.1, 0.5]",
        "seed       grid [0, 1]",
        "fold       grid [0, 1, 2]",
    ]


def test_description_says_what_will_happen(written: Any) -> None:
    text = describe(Space.load(written(SE_RATIO), profile="paper"))
    assert "x (paper): 50-trial Bayesian search" in text
    assert "30 epochs, ASHA promotes the best trials after 1, 3, 9, 27" in text
    assert "infinitely many configs" in text


# ---- mistakes


MISTAKES = [
    ("lr: 0.001", "lr: 0", r"17: params\.lr must be > 0(\.0)?, got 0"),
    ("lr: 0.001", "lr: '1e-4'", r"17: params\.lr must be a number, got the text '1e-4'.*"),
    ("lr: 0.001", "lr: 1_0", r"17: params\.lr must be number, got '1_0'|.*got the text '1_0'.*"),
    ("lr: 0.001", "lr: yes", r"17: params\.lr must be a number, got 'yes'"),
    ("lr: 0.001", "lr:", r"17: params\.lr must be a number, got None"),
    ("  lr: 0.001", "  lr: 0.001\n  lr: 0.002", r"18: duplicate key 'lr' \(first in x\.yaml:17\)"),
    ("  dropout", "  dropuot", r"9: unknown key 'dropuot' \(did you mean 'dropout'\?\)"),
    ("search:", "serach:", r"18: unknown key 'serach' \(did you mean 'search'\?\)"),
    ("trials: 50", "trails: 50", r"18: unknown key 'trails' \(did you mean 'trials'\?\)"),
    ("trials: 50", "trials: 0", r"18: search\.trials must be >= 1, got 0"),
    ("uniform: [2, 64]", "unifrm: [2, 64]", r"6: unknown key 'unifrm' \(did you mean 'uniform'\?\)"),
    ("[2, 64]", "[64, 2]", r"6: params\.r: uniform must have low < high, got \[64, 2\]"),
    ("[2, 64]", "[2, 2]", r"6: params\.r: uniform must have low < high, got \[2, 2\]"),
    ("[2, 64]", "[2]", r"6: params\.r: uniform must be \[low, high\], got \[2\]"),
    ("[2, 64]", "2", r"6: params\.r: uniform must be a list, got 2"),
    ("[2, 64]", "['2', 64]", r"6: params\.r: uniform must have numbers, got the text '2'"),
    ("[2, 64]", "[true, 64]", r"6: params\.r: uniform must have finite numbers, got True"),
    ("[2, 64]", "[2, 1e999]", r"6: params\.r: uniform must have finite numbers, got inf"),
    ("[2, 64]", "[0, 64]", r"6: params\.r must be >= 1(\.0)?, got 0\.0"),
    ("uniform: [2, 64]", "loguniform: [0, 64]", r"6: params\.r: loguniform must have low > 0 on a log scale, got 0"),
    ("uniform: [2, 64]", "uniform: [2, 64], step: 4",
     r"6: params\.r: uniform must reach high in whole steps of 4, got \[2, 64\] \(the last is 62\.0\)"),
    ("uniform: [2, 64]", "uniform: [2, 64], step: 0", r"6: params\.r: uniform must have a step > 0, got 0"),
    ("uniform: [2, 64]", "int: [2, 64], step: 0.5", r"6: params\.r: int must have integers, got 0\.5"),
    ("uniform: [2, 64]", "uniform: [2, 64], step: x", r"6: params\.r: uniform must have numbers, got the text 'x'"),
    ("uniform: [2, 64]", "loguniform: [2, 64], step: 1",
     r"6: params\.r: loguniform must have no step, which uniform and int may have, got step 1"),
    ("uniform: [2, 64]", "value: 2, step: 1", r"6: params\.r must have no step beside value, got 1"),
    ("uniform: [2, 64]", "int: [2.5, 64]", r"6: params\.r: int must have integers, got 2\.5"),
    ("uniform: [2, 64]", "choice: []", r"6: params\.r: choice must have at least one value, got \[\]"),
    ("uniform: [2, 64]", "choice: [8, 8]", r"6: params\.r: choice must have each value once, got 8 twice"),
    ("uniform: [2, 64]", "choice: [{a: 1}]", r"6: params\.r: choice must have plain values or lists, got .*"),
    ("uniform: [2, 64]", "choice: [8,\n    16, 0]", r"7: params\.r must be >= 1(\.0)?, got 0"),
    ("uniform: [2, 64]", "when: {model: se_cnn}", r"6: params\.r must have one of value, uniform, .*, got none"),
    ("uniform: [2, 64]", "value: 3, int: [2, 3]", r"6: params\.r must have one of value, .*, got value and int"),
    ("uniform: [2, 64]", "grid: [2, 64]", r"6: params\.r must have a domain other than grid under sampler tpe.*"),
    ("sampler: tpe", "sampler: grid", r"6: params\.r must have a grid domain under sampler grid, got uni.*"),
    ("sampler: tpe", "sampler: tpo", r"18: search\.sampler must be one of auto, .*, got 'tpo' \(did.*"),
    ("mode: max", "mode: min", r"18: search\.mode must be max for val_accuracy, got 'min'"),
    ("split: artist", "split: artst", r"3: data\.split must be one of .*, got 'artst' \(did you mean 'artist'\?\)"),
    ("ratios: [50, 30, 20]", "ratios: [50, 30]", r"3: data\.ratios.*"),
    ("split: artist", "fold: 3", r"3: data\.fold needs folds, got fold 3 without it"),
    ("split: artist", "folds: 3, fold: {choice: [1, 3]}", r"3: data\.fold must be < folds, got 3 of 3"),
    ("model: se_cnn", "model: se_cn", r"5: params\.model: unknown model 'se_cn' \(did you mean 'se_cnn'\?\)"),
    ("model: se_cnn", "model: [se_cnn]",
     r"5: params\.model must be a name, got \['se_cnn'\] \(to try each: \{choice: \[se_cnn\]\}\)"),
    ("model: se_cnn", "model: {choice: [se_cnn, 3]}", r"5: params\.model must be a name, got 3"),
    ("model: se_cnn", "model: {uniform: [0, 1]}", r"5: params\.model must be a name, got 0\.0"),
    ("  model: se_cnn\n", "", r"4: params\.model is missing \(there is .*se_cnn.*\)"),
    ("256, 128]", "256, 128, 3]", r"7: params\.channels .*5 items.*"),
    ("256, 128]", "256, 0]", r"7: params\.channels\.4 must be >= 1, got 0"),
    ("min_epochs: 1", "min_epochs: 10", r"19: budget\.min_epochs must be <= max_epochs, got 10 > 9"),
    ("min_epochs: 1", "epochs: 3", r"19: budget\.epochs excludes max_epochs, got both"),
    ("hop_length: 1024", "hop_length: {int: [512, 4096]}", r"13: params\.hop_length must be <= n_fft, got 4096 > 2048"),
    ("batch_size: 32", "batch_size: {uniform: [8, 9]}", r"16: params\.batch_size must be an integer, got 8\.0"),
    ("[2, 64]}", "[2, 64], when: {model: x}}", r"6: params\.r\.when\.model must be a value of model, got 'x' .*"),
    ("[2, 64]}", "[2, 64], when: {modl: x}}", r"6: params\.r\.when must name params, got 'modl' \(did .* 'model'\?\)"),
    ("[2, 64]}", "[2, 64], when: 3}", r"6: params\.r\.when must be \{param: value\}, got 3"),
    ("[2, 64]}", "[2, 64], when: {model: []}}", r"6: params\.r\.when\.model must be a value or several, got \[\]"),
    ("[2, 64]}", "[2, 64], when: {r: 3}}", r"6: params\.r\.when\.r: the param of a condition must have at most .*"),
    ("lr: 0.001", "lr: {value: 1, when: {beta1: 0}}\n  beta1: {value: 0, when: {lr: 1}}",
     r"17: params\.lr\.when must not go in a circle, got lr -> beta1 -> lr|18: .*circle, got beta1 -> lr -> beta1"),
    ("paper: {", "paper: {params.lrr: 3, ", r"22: unknown key 'lrr' \(did you mean 'lr'\?\)"),
    ("paper: {", "paper: {parms.lr: 3, ", r"22: unknown section 'parms' \(did you mean 'params'\?\)"),
    ("paper: {", "paper: {lr: 3, ", r"22: must set SECTION\.KEY, got 'lr' \(did you mean params\.lr\?\)"),
    ("paper: {", "paper: {params.lr: 30, ", r"22: params\.lr must be <= 10(\.0)?, got 30"),
    ("paper: {", "q: 3\n  paper: {", r"22: profiles\.q must be \{section\.key: value\}, got 3"),
    ("profiles:", "published: [{table: a}]\nprofiles:", r"21: published\.0\.params is missing"),
    ("profiles:", "published:\n  - {table: a, params: {rr: 1}, metric: m, value: 1, dataset: d}\nprofiles:",
     r"22: unknown key 'rr' \(did you mean 'r'.*"),
    ("profiles:", "published: [3]\nprofiles:", r"21: published\.0 must be a mapping, got 3"),
    ("profiles:", "reference: {model: se_cnn, rr: 1}\nprofiles:", r"21: unknown key 'rr' \(did you mean 'r'\?\)"),
    ("profiles:", "reference: {r: 8}\nprofiles:", r"21: reference\.model must be a name, got None"),
    ("profiles:", "reference: 3\nprofiles:", r"21: reference must be a mapping, got 3"),
    ("description: 50-trial Bayesian search for the SE reduction ratio r", "description: [3]",
     r"2: description must be text, got \[3\]"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES, ids=[new.strip()[:40] for _, new, _ in MISTAKES])
def test_a_mistake_gets_one_line_with_file_line_rule_and_value(written: Any, old: str, new: str, line: str) -> None:
    with pytest.raises(SpaceError, match=rf"^x\.yaml:({line})$"):
        Space.load(written(changed(old, new)))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", r"x\.yaml:1: a space file must have params, got an empty file"),
        ("# nothing\n", r"x\.yaml:1: a space file must have params, got an empty file"),
        ("- a", r"x\.yaml:1: a space file must be a mapping, got \['a'\]"),
        ("description: a", r"x\.yaml:1: a space must have params, got none"),
        ("description: a\nparams:", r"x\.yaml:2: params must be a mapping, got None"),
        ("a: 1\nb: [1", r"x\.yaml:2: is not valid YAML: .*"),
        ("a: 1\n\tb: 2", r"x\.yaml:2: is not valid YAML: .*"),
        ("a: 1\nb: \0", r"x\.yaml:2: is not valid YAML: .*"),
        (b"a: 1\nb: \xff", r"x\.yaml:2: must be UTF-8 text, got byte 0xff"),
        ("a: 1\n---\nb: 2", r"x\.yaml:3: must be one YAML document, got a second one"),
        ("a: 1\nb: !!python/object/apply:os.system [x]", r"x\.yaml:2: tags are not read, got .*os\.system'"),
        ('description: "a\\e[2J"', r"x\.yaml:1: a text must have no control characters, got 'a\\x1b\[2J'"),
        ('params: {model: "\\uD800"}', r"x\.yaml:1: a text must have no control characters, got '\\ud800'"),
        ('a:\n  "b\\u202E": 1', r"x\.yaml:2: a text must have no control characters, got 'b\\u202e'"),
        ("a: &x [*x]", r"x\.yaml:1: anchors and aliases are not read, got 'x'"),
        ("a:\n  ? [1]\n  : 2", r"x\.yaml:2: a key must be plain text, got a list or a mapping"),
        ("[" * 500, r"x\.yaml:1: must be nested at most 20 deep"),
        ("# " + "x" * 200_000, r"x\.yaml: a space file must be <= 100000 bytes, got 200002"),
    ],
)
def test_what_is_no_space_file(written: Any, text: str | bytes, line: str) -> None:
    with pytest.raises(SpaceError, match=f"^{line}$"):
        Space.load(written(text))


def test_a_file_that_is_not_there(written: Any, tmp_path: Path) -> None:
    written(SE_RATIO)
    with pytest.raises(SpaceError, match=r"^y\.yaml: there is no such space file \(there is x\.yaml\)$"):
        Space.load("y.yaml")
    with pytest.raises(SpaceError, match=r"must be a space file, got a folder$"):
        Space.load(tmp_path)


def test_a_space_file_without_its_folder_and_ending_is_answered_with_its_path(written: Any, tmp_path: Path) -> None:
    written("cluster_name: mine\nprovider: {type: local}\n")  # x.yaml, which is no space
    (tmp_path / "spaces").mkdir()
    for name in ("MyRatio", "shallow"):
        (tmp_path / "spaces" / f"{name}.yaml").write_text(SE_RATIO)
    for asked in ("MyRatio", "MyRatio.yaml", "MyRation.yaml", "spaces/My-Ratio.yaml"):
        with pytest.raises(
            SpaceError, match=r"^.*: there is no such space file \(did you mean spaces/MyRatio.yaml\?\)$"
        ):
            Space.load(asked)
    with pytest.raises(SpaceError, match=r"file \(there is spaces/MyRatio\.yaml, spaces/shallow\.yaml\)$"):
        Space.load("q")


@pytest.mark.usefixtures("written")
def test_a_shipped_space_is_found_by_its_name_in_any_folder(tmp_path: Path) -> None:
    assert Space.load("se_ratio").canonical() == Space.load(SPACES / "se_ratio.yaml").canonical()
    for asked in ("se_ratoi", "se_ratio.yaml"):
        with pytest.raises(SpaceError, match=rf"^{asked}: there is no such space file \(did you mean se_ratio\?\)$"):
            Space.load(asked)
    with pytest.raises(SpaceError, match=r"^q: there is no such space file \(there is architectures, .*shallow\)$"):
        Space.load("q")
    (tmp_path / "se_ratio").write_text("params: {model: shallow}")
    assert Space.load("se_ratio").params["model"].value == "shallow"


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("params.lr", "must be KEY=VALUE, got 'params.lr'"),
        ("lr=1", "must set SECTION.KEY, got 'lr' (did you mean params.lr?)"),
        ("=", "must set SECTION.KEY, got '' (there is data, params, search, budget, resources)"),
        ("parms.lr=1", "unknown section 'parms' (did you mean 'params'?)"),
        ("params.lrr=1", "unknown key 'lrr' (did you mean 'lr'?)"),
        ("search.trails=1", "unknown key 'trails' (did you mean 'trials'?)"),
        ("params.batch_size=0", "params.batch_size must be >= 1, got 0"),
        ("params.r={uniform: [3, 1]}", "params.r: uniform must have low < high, got [3, 1]"),
        ("budget.min_epochs=100", "budget.min_epochs must be <= max_epochs, got 100 > 9"),
        ("budget.max_epochs=0", "budget.max_epochs must be >= 1, got 0"),
        ("params.n_fft=512", "params.hop_length must be <= n_fft, got 1024 > 512"),
        ("search.sampler=grid", "params.r must have a grid domain under sampler grid, got uniform [2, 64]"),
        ("params.lr=!!str 3", "tags are not read, got 'tag:yaml.org,2002:str'"),
    ],
)
def test_a_mistake_in_set_names_the_option(written: Any, option: str, line: str) -> None:
    with pytest.raises(SpaceError) as caught:
        Space.load(written(SE_RATIO), overrides=[option])
    assert one_line(caught.value) == f"--set {option}: {line}"


def test_unknown_profile(written: Any) -> None:
    with pytest.raises(SpaceError, match=r"^--profile papr: unknown profile 'papr' \(did you mean 'paper'\?\)$"):
        Space.load(written(SE_RATIO), profile="papr")


def test_on_repeat_beside_a_seed_of_its_own(written: Any) -> None:
    text = "params: {model: se_cnn, seed: 1}\nsearch: {on_repeat: reuse}"
    with pytest.raises(
        SpaceError, match=r"^x\.yaml:2: search\.on_repeat must be allow where seed is among the params, got 'reuse'$"
    ):
        Space.load(written(text))


def test_a_param_of_one_model_must_stand_under_when(written: Any) -> None:
    text = "params:\n  model: {choice: [se_cnn, shallow]}\n  r: {uniform: [2, 64]}"
    with pytest.raises(SpaceError) as caught:
        Space.load(written(text))
    assert one_line(caught.value) == ("x.yaml:3: params.r needs `when: {model: se_cnn}`: shallow has no r")
    space = Space.load(written(text.replace("64]", "64], when: {model: se_cnn}")))
    assert {"r" in config for config in space.sample(20)} == {True, False}


def test_augmentation_of_another_modality_must_stand_under_when(written: Any) -> None:
    params = "  modality: {choice: [spectrogram, both]}\n  gain_db: {uniform: [1, 6]}\n  lr: 0.001"
    with pytest.raises(
        SpaceError, match=r"^x\.yaml:18: params\.gain_db needs a waveform: .*, got 1 beside spectrogram$"
    ):
        Space.load(written(changed("  lr: 0.001", params)))
    under_when = params.replace("[1, 6]}", "[1, 6], when: {modality: both}}")
    assert Space.load(written(changed("  lr: 0.001", under_when))).params["gain_db"].when
    fixed = params.replace("{choice: [spectrogram, both]}", "raw")
    assert Space.load(written(changed("  lr: 0.001", fixed))).params["gain_db"].domain == Float(1.0, 6.0)


def test_each_of_many_values_is_checked(written: Any) -> None:
    values = [[width] * 5 for width in range(1, 400)]
    text = f"params:\n  model: se_cnn\n  dropout: {{choice: [0, 0.5]}}\n  channels: {{choice: {[*values, [0] * 5]}}}"
    with pytest.raises(SpaceError, match=r"^x\.yaml:4: params\.channels\.0 must be >= 1, got 0$"):
        Space.load(written(text))


def test_checking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from search import Space; Space.load('spaces/se_ratio.yaml')\n"
        "print([name for name in ('torch', 'ray', 'optuna', 'mlflow', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=SPACES.parent, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# ---- the schema


def test_committed_schema_is_current() -> None:
    assert json.loads((SPACES / "schema.json").read_text()) == space_schema(), (
        "run: python -m search.space --schema > spaces/schema.json"
    )


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(space_schema())
    return jsonschema.Draft202012Validator(space_schema())


@pytest.mark.parametrize("text", [CONDITIONAL, GRID, *(path.read_text() for path in sorted(SPACES.glob("*.yaml")))])
def test_schema_accepts_what_loads(validator: jsonschema.Draft202012Validator, written: Any, text: str) -> None:
    path = written(text)
    Space.load(path)
    validator.validate(read_file(path).values)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  dropout", "  dropuot"),
        ("search:", "serach:"),
        ("trials: 50", "trails: 50"),
        ("uniform: [2, 64]", "unifrm: [2, 64]"),
        ("uniform: [2, 64]", "uniform: [2]"),
        ("uniform: [2, 64]", "value: 3, int: [2, 3]"),
        ("lr: 0.001", "lr: 0"),
        ("lr: 0.001", "lr: '1e-4'"),
        ("batch_size: 32", "batch_size: {uniform: [8, 9]}"),
        ("sampler: tpe", "sampler: tpo"),
        ("model: se_cnn", "model: se_cn"),
        ("256, 128]", "256, 0]"),
        ("ratios: [50, 30, 20]", "ratios: [50, 30]"),
        ("min_epochs: 1", "epochs: 3"),
        ("paper: {", "paper: {params.lrr: 3, "),
        ("paper: {", "paper: {params.lr: 30, "),
    ],
)
def test_schema_refuses_broken_files(
    validator: jsonschema.Draft202012Validator, written: Any, old: str, new: str
) -> None:
    assert not validator.is_valid(read_file(written(changed(old, new))).values)


# ---- any file

FIELDS = {"r": (1.0, 100.0), "lr": (1e-5, 11.0), "dropout": (0.0, 1.0), "weight_decay": (0.0, 1.0)}
INTS = {"batch_size": (0, 300), "n_fft": (512, 4096), "hop_length": (1, 1024), "n_mels": (1, 200)}


MANY_VALUES = {
    "choice": "params: {{model: se_cnn, seed: {{choice: [{values}]}}}}\n",
    "grid": "params: {{model: se_cnn, seed: {{grid: [{values}]}}}}\nsearch: {{sampler: grid}}\n",
    "when": "params: {{model: se_cnn, seed: {{choice: [{values}]}}, lr: {{value: 0.1, when: {{seed: [{values}]}}}}}}\n",
}


@pytest.mark.parametrize("form", MANY_VALUES)
def test_the_time_of_the_checks_grows_as_the_number_of_values(form: str, written: Any) -> None:
    """Eight times as many values take eight times as long; a check of each with each other took 64 times as long."""

    def seconds(number: int) -> float:
        path = written(MANY_VALUES[form].format(values=", ".join(map(str, range(number)))))
        begin = time.process_time()
        Space.load(path)
        return time.process_time() - begin

    seconds(10)
    assert seconds(4000) < 24 * seconds(500)


def test_a_choice_finds_its_value_among_many_by_its_label() -> None:
    choice = Choice(tuple([number, number + 1] for number in range(20_000)))
    begin = time.process_time()
    assert [choice.from_label(f"[{number}, {number + 1}]") for number in range(20_000)] == list(choice.values)
    assert time.process_time() - begin < 5


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """A file's values: some within the fields' limits, some not, conditions in any order, two models."""
    params: dict[str, Any] = {"model": draw(st.sampled_from(["se_cnn", {"choice": ["se_cnn", "shallow"]}]))}
    params["optimizer"] = {"choice": ["adam", "sgd"]}
    conditions: Any = st.sampled_from([{"when": {"model": "se_cnn"}}, {"when": {"optimizer": ["sgd"]}}, {}])
    for name in draw(st.lists(st.sampled_from([*FIELDS, *INTS]), unique=True)):
        numbers: Any = st.floats(*FIELDS[name]) if name in FIELDS else st.integers(*INTS[name])
        forms = ["uniform", "loguniform", "choice"] if name in FIELDS else ["int", "logint", "choice"]
        ends = sorted(draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
        condition: dict[str, Any] = draw(conditions)
        params[name] = {draw(st.sampled_from(forms)): ends, **condition}
    return {"params": params}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=spaces(), seed=st.integers(0, 10))
def test_any_space_that_loads_samples_only_valid_configs(written: Any, values: dict[str, Any], seed: int) -> None:
    space = loaded(written(json.dumps(values)))
    if isinstance(space, str):
        assert space.startswith("x.yaml:1: ")
        return
    for config in space.sample(20, seed):
        space.check_params(config)


TOKENS = [
    "",
    "0",
    "-1",
    "x",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "null",
    "'",
    '"',
    "&a",
    "*a",
    "!!x",
    "1e999",
    "\t",
    "grid",
    "#",
    "|",
]


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """A valid file of which a line or a word was deleted, doubled, moved or replaced."""
    text = draw(st.sampled_from([SE_RATIO, CONDITIONAL, GRID]))
    whole_lines = draw(st.booleans())
    parts = text.splitlines(keepends=True) if whole_lines else _words(text)
    at = draw(st.integers(0, len(parts) - 1))
    other = draw(st.sampled_from([*TOKENS, *parts]))
    change = draw(st.sampled_from(["delete", "double", "replace", "insert"]))
    new = {"delete": [], "double": [parts[at]] * 2, "replace": [other], "insert": [other, parts[at]]}[change]
    return "".join([*parts[:at], *new, *parts[at + 1 :]])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", text)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=mutations())
def test_any_mutation_loads_or_gives_one_line_with_its_number(written: Any, text: str) -> None:
    space = loaded(written(text))
    if isinstance(space, str):
        number = int(space.removeprefix("x.yaml:").split(":")[0])
        assert 1 <= number <= text.count("\n") + 1
        return
    for config in space.sample(3):
        space.check_params(config)


def test_the_params_that_come_first_are_those_of_the_domains(tmp_path):
    """Fixed ones may stand beside them, and a whole number is a real one."""
    (tmp_path / "x.yaml").write_text(
        "params:\n  model: se_cnn\n  r: {uniform: [2, 64]}\n"
        "  channels: {choice: [[8, 8, 16, 16, 16], [8, 16, 32, 32, 32]]}\n"
        "search: {first: [{model: se_cnn, r: 8}, {channels: [8, 16, 32, 32, 32]}]}\n"
    )
    space = Space.load(tmp_path / "x.yaml")
    assert space.search.first == ({"r": 8.0}, {"channels": [8, 16, 32, 32, 32]})
    assert isinstance(space.search.first[0]["r"], float)
    assert "first" not in space.canonical()["search"]


def test_auto_is_a_sampler_that_knows_rungs_unless_several_metrics_are_compared(tmp_path):
    (tmp_path / "x.yaml").write_text("params: {model: se_cnn, r: {uniform: [2, 64]}}\n")
    several = ["search.metric=[val_accuracy, num_weights]", "search.mode=[max, min]"]
    names = [Space.load(tmp_path / "x.yaml", overrides=each).search.own_sampler for each in ([], several)]
    assert names == ["rung_gp", "tpe"]
    assert Space.load(tmp_path / "x.yaml", overrides=["search.sampler=qmc"]).search.own_sampler == "qmc"
