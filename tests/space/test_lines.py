"""The place that a mistake's line names: the key that breaks the rule, and of several that one that was written last.

What each rule says stands in test_space.py.
"""
# ruff: noqa: E501  (a line of an error is as long as it is)

from __future__ import annotations

from pathlib import Path

import pytest

from search.space.document import SpaceError
from search.space.space import Space

BASE = """\
data:
  folds: 3
  fold: 1
params:
  model: se_cnn
  lr: 0.001
  n_fft: 2048
  hop_length: 512
  fmin: 0.0
  fmax: 8000.0
  random_clips:
  clip_overlap: 0.5
  schedule: constant
  warmup_epochs: 1
  batch_size: 16
search:
  metric: val_accuracy
  mode: max
budget:
  min_epochs: 1
  max_epochs: 9
profiles:
  p: {params.hop_length: 1024}
"""

LINES = [  # one mistake a line: what is changed in the file, --set, the line that the user reads
    (("hop_length: 512", "hop_length: 4096"), [],
     "x.yaml:8: params.hop_length must be <= n_fft, got 4096 > 2048"),
    (None, ["params.n_fft=256"],
     "--set params.n_fft=256: params.hop_length must be <= n_fft, got 512 > 256"),
    (("hop_length: 512", "hop_length: 4096"), ["params.n_fft=1024"],
     "x.yaml:8: params.hop_length must be <= n_fft, got 4096 > 2048"),
    (("fmin: 0.0", "fmin: 9000.0"), [],
     "x.yaml:9: params.fmin must be below fmax, got 9000 >= 8000"),
    (None, ["params.fmax=0.5", "params.fmin=1.0"],
     "--set params.fmin=1.0: params.fmin must be below fmax, got 1 >= 0.5"),
    (None, ["params.fmin=9000.0"],
     "--set params.fmin=9000.0: params.fmin must be below fmax, got 9000 >= 8000"),
    (("random_clips:", "random_clips: 3\n  sr: 8000"), ["params.clip_overlap=null"],
     "--set params.clip_overlap=null: params.random_clips needs clip_overlap (they are drawn from the overlapping clips), got null"),
    (("clip_overlap: 0.5", "clip_overlap:"), ["params.random_clips=3"],
     "--set params.random_clips=3: params.random_clips needs clip_overlap (they are drawn from the overlapping clips), got null"),
    (("schedule: constant", "schedule: one_cycle"), [],
     "x.yaml:14: params.warmup_epochs must be 0 beside schedule one_cycle, got 1"),
    (None, ["params.schedule=one_cycle"],
     "--set params.schedule=one_cycle: params.warmup_epochs must be 0 beside schedule one_cycle, got 1"),
    (("warmup_epochs: 1", "warmup_epochs: 9"), [],
     "x.yaml:14: params.warmup_epochs must be < epochs, got 9 of 9"),
    (None, ["budget.max_epochs=1"],
     "x.yaml:14: params.warmup_epochs must be < epochs, got 1 of 1"),
    (("fold: 1", "fold: 3"), [],
     "x.yaml:3: data.fold must be < folds, got 3 of 3"),
    (None, ["data.folds=2", "data.fold=2"],
     "--set data.fold=2: data.fold must be < folds, got 2 of 2"),
    (None, ["data.folds=null"],
     "--set data.folds=null: data.fold needs folds, got fold 1 without it"),
    (None, ["data.folds=2", "data.fold=1", "params.fold=2"],
     "--set params.fold=2: params.fold must be < folds, got 2 of 2"),
    (("mode: max", "mode: min"), [],
     "x.yaml:18: search.mode must be max for val_accuracy, got 'min'"),
    (None, ["search.metric=val_loss"],
     "x.yaml:18: search.mode must be min for val_loss, got 'max'"),
    (None, ["search.metric=[val_f1, val_loss]"],
     "--set search.metric=[val_f1, val_loss]: search.mode must have one entry for each metric, got max for [val_f1, val_loss]"),
    (None, ["search.metric=[val_f1, val_loss]", "search.mode=[max, max]"],
     "--set search.mode=[max, max]: search.mode must be min for val_loss, got 'max'"),
    (None, ["search.metric=[num_weights, val_f1]", "search.mode=[min, max]"],
     "--set search.metric=[num_weights, val_f1]: search.metric must begin with a validation score, got [num_weights, val_f1]"),
    (None, ["search.metric=[val_f1, val_f1]", "search.mode=[max, max]"],
     "--set search.metric=[val_f1, val_f1]: search.metric must name each metric once, got [val_f1, val_f1]"),
    (None, ["search.metric=[]", "search.mode=[]"],
     "--set search.metric=[]: search.metric must begin with a validation score, got []"),
    (None, ["search.metric=[val_f3]"],
     "--set search.metric=[val_f3]: search.metric must name metrics, got 'val_f3' (did you mean 'val_f1'?)"),
    (None, ["search.metric=val_f3"],
     "--set search.metric=val_f3: search.metric must be one of val_accuracy, val_accuracy_sum, val_accuracy_majority, val_clip_accuracy, val_f1, val_loss, num_weights, val_seconds_per_clip, got 'val_f3' (did you mean 'val_f1'?)"),
    (None, ["search.sampler=3"],
     "--set search.sampler=3: search.sampler must be one of auto, rung_gp, tpe, random, grid, gp, qmc, got 3"),
    (None, ["search.sampler=bohb"],
     "--set search.sampler=bohb: search.sampler must be one of auto, rung_gp, tpe, random, grid, gp, qmc, got 'bohb'"),
    (None, ["search.mode=3"],
     "--set search.mode=3: search.mode must be one of max, min, got 3"),
    (None, ["search.constraints={val_f3: {max: 1}}"],
     "--set search.constraints={val_f3: {max: 1}}: search.constraints must name metrics, got 'val_f3' (did you mean 'val_f1'?)"),
    (None, ["search.constraints={val_f1: {max: x}}"],
     "--set search.constraints={val_f1: {max: x}}: search.constraints of val_f1 must be numbers, got max 'x'"),
    (None, ["search.constraints={val_f1: {max: 1, min: 2}}"],
     "--set search.constraints={val_f1: {max: 1, min: 2}}: search.constraints of val_f1 must have min <= max, got 2 > 1"),
    (None, ["search.constraints=3"],
     "--set search.constraints=3: search.constraints must be {metric: {max: number}}, got 3"),
    (None, ["search.first=3"],
     "--set search.first=3: search.first must be a list of {param: value}, got 3"),
    (None, ["search.first=[lr]"],
     "--set search.first=[lr]: search.first must be a list of {param: value}, got ('lr',)"),
    (None, ["search.first=[{lrr: 1}]"],
     "--set search.first=[{lrr: 1}]: search.first.0 must name params, got 'lrr' (did you mean 'lr'?)"),
    (("mode: max", "mode: max\n  first:\n  - lr: 0.001\n  - lr: 0.01"), [],
     "x.yaml:21: search.first.1.lr must be 0.001 as in params, got 0.01"),
    (None, ["params.lr={uniform: [0.1, 0.2]}", "search.first=[{lr: 0.5}]"],
     "--set search.first=[{lr: 0.5}]: search.first.0.lr must be in uniform [0.1, 0.2], got 0.5"),
    (None, ["params.model={choice: [se_cnn, shallow]}", "params.r={value: 8, when: {model: shallow}}", "search.first=[{r: 8, model: se_cnn}]"],
     "--set search.first=[{r: 8, model: se_cnn}]: search.first.0.r needs model = shallow, got se_cnn"),
    (("mode: max", "mode: max\n  first: [{lr: 0.001}]\n  sampler: grid"), [],
     "x.yaml:19: search.first must not stand beside sampler grid"),
    (("min_epochs: 1", "min_epochs: 10"), [],
     "x.yaml:20: budget.min_epochs must be <= max_epochs, got 10 > 9"),
    (None, ["budget.max_epochs=0"],
     "--set budget.max_epochs=0: budget.max_epochs must be >= 1, got 0"),
    (None, ["budget.min_epochs=10"],
     "--set budget.min_epochs=10: budget.min_epochs must be <= max_epochs, got 10 > 9"),
    (("  max_epochs: 9", "  epochs: 3"), [],
     "x.yaml:21: budget.epochs excludes min_epochs, got both"),
    (("model: se_cnn", "model: se_cnn\n  se_blocks: [1,\n    1]"), [],
     "x.yaml:6: params.se_blocks must name each block once, got [1, 1]"),
    (("model: se_cnn", "model: se_cnn\n  channels: [1,\n    2, 3, 4,\n    0]"), [],
     "x.yaml:8: params.channels.4 must be >= 1, got 0"),
    (("model: se_cnn", "model: se_cnn\n  picture: [8,\n    1]"), [],
     "x.yaml:7: params.picture.1 must be >= 8, got 1"),
    (("model: se_cnn", "model: crnn_cnn\n  pools: [2]"), [],
     "x.yaml:6: params.pools.0 must be a list, got 2"),
    (("model: se_cnn", "model: crnn\n  channels: [8,8,8]\n  pools: [[2,2]]"), [],
     "x.yaml:7: params.pools must have one entry per convolution, got 1 of 3"),
    (("model: se_cnn", "model: crnn_cnn\n  channels: [8,8]\n  num_blocks: 5"), [],
     "x.yaml:4: pools must have one entry per convolution, got 3 of 2"),
    (("model: se_cnn", "model: timm/resnet18\n  weights: a.pt"), [],
     "x.yaml:6: params.weights needs pretrained: true, got false"),
    (("model: se_cnn", "model: timm/resnet18\n  weights: a.pt\n  pretrained: false"), [],
     "x.yaml:6: params.weights needs pretrained: true, got false"),
    (("data:\n", "data:\n  ratios: 60/a\n"), [],
     "x.yaml:2: data.ratios must be train/validation/test or train/test, as in 60/10/30, got '60/a'"),
    (("data:\n", "data:\n  ratios: [1,\n   0,\n   0]\n"), [],
     "x.yaml:4: data.ratios.2 must be >= 1, got 0"),
    (None, ["resources.trials_per_gpu=x"],
     "--set resources.trials_per_gpu=x: resources.trials_per_gpu must be a number or auto, got 'x'"),
    (None, ["resources.trials_per_gpu=65"],
     "--set resources.trials_per_gpu=65: resources.trials_per_gpu must be <= 64, got 65"),
    (None, ["resources.keep=1.5"],
     "--set resources.keep=1.5: resources.keep must be an integer, got 1.5"),
    (("model: se_cnn", "model: se_cnn\n  gain_db: 3"), [],
     "x.yaml:6: params.gain_db needs a waveform: modality raw or both, got 3 beside spectrogram"),
    (("model: se_cnn", "model: se_cnn\n  modality: raw\n  time_masks: 3"), [],
     "x.yaml:7: params.time_masks needs a picture: modality spectrogram or both, got 3 beside raw"),
    (("model: se_cnn", "model: se_cnn\n  random_offset: true"), ["data.split=clip"],
     "x.yaml:6: params.random_offset must be false under split clip: it would train on validation's clips"),
    (("model: se_cnn", "model: se_cnn\n  seed: -1"), [],
     "x.yaml:6: params.seed must be an integer >= 0, got -1"),
    (("profiles:", "reference:\n  model: se_cnn\n  hop_length: 4096\nprofiles:"), [],
     "x.yaml:24: reference.hop_length must be <= n_fft, got 4096 > 1024"),
    (("profiles:", "reference:\n  model: se_cnn\n  batch_size: 0\nprofiles:"), [],
     "x.yaml:24: reference.batch_size must be >= 1, got 0"),
    (("profiles:", "reference:\n  model: se_cnn\n  schedule: one_cycle\n  warmup_epochs: 3\nprofiles:"), [],
     "x.yaml:25: reference.warmup_epochs must be 0 beside schedule one_cycle, got 3"),
    (("profiles:", "reference:\n  model: se_cnn\n  channels: [1, 2, 3, 4,\n   0]\nprofiles:"), [],
     "x.yaml:25: reference.channels.4 must be >= 1, got 0"),
    (("profiles:", "published:\n  - {table: a, params: {}, metric: m, value: 1, dataset: d}\n  - {table: a, params: {},\n     metric: m, value: x, dataset: d}\nprofiles:"), [],
     "x.yaml:25: published.1.value must be a number, got 'x'"),
    (("profiles:", "published:\n  - {table: a, params: {}, metric: m, value: 1, dataset: d,\n    splitt: 3}\nprofiles:"), [],
     "x.yaml:24: unknown key 'splitt' (did you mean 'split'?)"),
    (("profiles:", "published:\n  - {table: '',\n     params: {}, metric: m, value: 1, dataset: d}\nprofiles:"), [],
     "x.yaml:23: published.0.table must be text that is not empty, got ''"),
    (("p: {params.hop_length: 1024}", "p:\n    params.hop_length: 4096"), [],
     "x.yaml:24: params.hop_length must be <= n_fft, got 4096 > 2048"),
    (("p: {params.hop_length: 1024}", "p:\n    params.lr: 3\n    params.n_fft: 256"), [],
     "x.yaml:25: params.hop_length must be <= n_fft, got 512 > 256"),
    (("p: {params.hop_length: 1024}", "p:\n    params.channels: [1, 2,\n      3, 4, 0]"), [],
     "x.yaml:24: params.channels.4 must be >= 1, got 0"),
    (("lr: 0.001", "lr: {choice: [0.1,\n    0.2,\n    0]}"), [],
     "x.yaml:8: params.lr must be > 0, got 0"),
    (("lr: 0.001", "lr:\n    uniform: [0,\n      1]"), [],
     "x.yaml:7: params.lr must be > 0, got 0.0"),
    (("hop_length: 512", "hop_length:\n    int: [128,\n      4096]"), [],
     "x.yaml:10: params.hop_length must be <= n_fft, got 4096 > 2048"),
    (("n_fft: 2048", "n_fft: {choice: [1024,\n    256]}"), [],
     "x.yaml:9: params.hop_length must be <= n_fft, got 512 > 256"),
    (("lr: 0.001", "lr: x"), [],
     "x.yaml:6: params.lr must be a number, got 'x'"),
    (("lr: 0.001", "lr: '0.1'"), [],
     "x.yaml:6: params.lr must be a number, got the text '0.1'"),
    (("lr: 0.001", "lr: [0.1, 0.01]"), [],
     "x.yaml:6: params.lr must be a number, got [0.1, 0.01] (to try each: {choice: [0.1, 0.01]})"),
    (("lr: 0.001", "lr: [0.1, x]"), [],
     "x.yaml:6: params.lr must be a number, got [0.1, 'x']"),
    (("model: se_cnn", "model: [crnn, se_cnn]\n  dropout: {value: 0.5, when: {model: se_cnn}}"), [],
     "x.yaml:5: params.model must be a name, got ['crnn', 'se_cnn'] (to try each: {choice: [crnn, se_cnn]})"),
    (("lr: 0.001", "lr: {min: 0.001, max: 0.1}"), [],
     "x.yaml:6: unknown key 'min' (here it is lr: {uniform: [0.001, 0.1]})"),
    (("lr: 0.001", "lr: {distribution: log_uniform_values, min: 0.001, max: 0.1}"), [],
     "x.yaml:6: unknown key 'distribution' (here it is lr: {loguniform: [0.001, 0.1]})"),
    (("batch_size: 16", "batch_size: {values: [16, 32]}"), [],
     "x.yaml:15: unknown key 'values' (here it is batch_size: {choice: [16, 32]})"),
    (("mode: max", "direction: maximize"), [],
     "x.yaml:18: unknown key 'direction' (here it is search.mode: max or min)"),
    (("metric: val_accuracy", "metric: {name: val_accuracy, goal: maximize}"), [],
     "x.yaml:17: search.metric must be the name of a metric, got {'name': 'val_accuracy', 'goal': 'maximize'} (its goal is mode: max or min)"),
    (None, ["search.n_trials=20"],
     "--set search.n_trials=20: unknown key 'n_trials' (here it is search.trials)"),
    (("profiles:", "method: bayes\nprofiles:"), [],
     "x.yaml:22: unknown key 'method' (here it is search.sampler)"),
    (("profiles:", "trials: 20\nprofiles:"), [],
     "x.yaml:22: unknown key 'trials' (it belongs to a section: search.trials)"),
    (("mode: max", "mode: max\n  max_epochs: 30"), [],
     "x.yaml:19: unknown key 'max_epochs' (it belongs to a section: budget.max_epochs)"),
    (("model: se_cnn", "model: crnn\n  channels: []"), [],
     "x.yaml:6: params.channels must have at least 1 item, got []"),
    (("model: se_cnn", "model: se_cnn\n  picture: [8, 8, 8]"), [],
     "x.yaml:6: params.picture must have at most 2 items, got [8, 8, 8]"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "overrides", "line"), LINES, ids=[line for _, _, line in LINES])
def test_a_mistake_is_found_where_it_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, str] | None,
    overrides: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = BASE if change is None else BASE.replace(*change, 1)
    assert (text == BASE) == (change is None)
    Path("x.yaml").write_text(text)
    with pytest.raises(SpaceError) as caught:
        Space.load("x.yaml", overrides=overrides)
    assert str(caught.value) == line
