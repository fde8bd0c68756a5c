"""The papers' figures: all of them declared, each in reach of its space, and ours beside them."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
from small_study import ended, new_record

from mgc.config import DataConfig
from mgc.datasets.registry import open_dataset
from mgc.tracks.splits import make_split
from search import papers
from search.papers import Ours, ours_of
from search.record.notes import TEST
from search.record.record import Record
from search.record.trial import Proposal
from search.results.published import Figure, figures, has_settings
from search.run import overrides, parser
from search.space.document import read_file
from search.space.domains import Domain, contains, domain
from search.space.space import Space
from search.stats import over_seeds

SPACES = Path(__file__).parents[1] / "spaces"
FIGURES = figures(SPACES)
PROFILES = [(path, profile) for path in sorted(SPACES.glob("*.yaml")) for profile in (None, *Space.load(path).profiles)]


def figure(paper: str, setting: str, metric: str = "test_accuracy") -> Figure:
    [figure] = [each for each in FIGURES if (each.paper, each.setting, each.metric) == (paper, setting, metric)]
    return figure


# ---- what the spaces declare


def test_every_published_figure_is_declared_once_with_its_value() -> None:
    with (Path(__file__).parent / "published.csv").open(newline="") as file:
        wanted = [of_table(line) for line in csv.DictReader(file)]
    assert len(wanted) == 107
    assert sorted(map(repr, map(of_space, FIGURES))) == sorted(map(repr, wanted))


def test_every_figure_names_its_split_with_the_ratios_of_the_papers_profile() -> None:
    for path in [path for path, profile in PROFILES if profile == "paper"]:
        space = Space.load(path, profile="paper")
        for published in space.published:
            assert published.split, f"{space.name}: {published}"
            if ratios := re.match(r"\d+(/\d+)+", published.split):
                assert ratios[0] == "/".join(str(share) for share in space.data.ratios if share), space.name


def of_table(line: dict[str, str]) -> tuple[Any, ...]:
    settings = dict(part.split("=") for part in line["setting"].split())
    plain = {name: plain_value(name, text) for name, text in settings.items()}
    facts = (line["paper"], line["table"], line["dataset"], line["metric"], float(line["value"]))
    return *facts, sorted({"model": line["model"], **plain}.items())


def of_space(of: Figure) -> tuple[Any, ...]:
    published = of.published
    settings = {"model": of.space.params["model"].value, **published.params}
    plain = {name: float(value) if type(value) is int else value for name, value in settings.items()}
    return of.paper, published.table, published.dataset, published.metric, published.value, sorted(plain.items())


def plain_value(name: str, text: str) -> Any:
    match name:
        case "se_blocks":
            return [] if text == "none" else [int(block) for block in text.split("+")]
        case "channels":
            return [int(width) for width in text.split(",")]
        case "batch_norm":
            return text == "true"
        case "modality" | "vote":
            return text
        case _:
            return float(text)


def config_for(figure: Figure) -> Mapping[str, Any] | None:
    """A config of the figure's space that has its settings; None where there is none."""

    def choose(name: str, domain: Domain) -> Any:
        wanted = figure.params.get(name)
        return wanted if name in figure.params and contains(domain, wanted) else domain.ends()[0]

    config = figure.space.walk(choose)
    return config if has_settings(config, figure.params) else None


@pytest.mark.parametrize("of", FIGURES, ids=lambda of: f"{of.paper}: {of.setting} {of.metric}")
def test_a_figure_is_in_reach_of_its_space_under_the_papers_profile(of: Figure) -> None:
    config = config_for(of)
    assert config is not None
    assert of.space.profile == "paper" and of.space.data.dataset == of.published.dataset
    of.space.check_params(config)
    assert (of.epochs or 0) <= of.space.budget.full


def test_a_figure_out_of_reach_has_no_config(tmp_path: Path) -> None:
    text = (SPACES / "se_ratio_grid.yaml").read_text()
    (tmp_path / "r.yaml").write_text(text.replace("params: {r: 8}", "params: {r: 9}"))
    assert [config_for(each) is None for each in figures(tmp_path)] == [True, False, False]


@pytest.mark.parametrize(
    ("form", "items", "inside", "outside"),
    [
        ("uniform", [2, 64], [2, 31.43, 64], [1.9, 65, "8", True]),
        ("int", [1, 5], [1, 5], [0, 6, 2.5]),
        ("choice", [[1, 2], None], [[1, 2], None], [[2, 1], 1]),
    ],
)
def test_a_domain_contains_its_values(form: str, items: list[Any], inside: list[Any], outside: list[Any]) -> None:
    assert all(contains(domain(form, items), value) for value in inside)
    assert not any(contains(domain(form, items), value) for value in outside)


@pytest.mark.parametrize(("path", "profile"), PROFILES, ids=lambda each: getattr(each, "stem", each))
def test_every_space_loads_under_every_profile(path: Path, profile: str | None) -> None:
    space = Space.load(path, profile=profile)
    assert read_file(path).values["description"] == space.description
    assert (space.data.dataset == "synthetic") == (profile is None)


def test_means_over_runs_are_means_here_too() -> None:
    means = {each.space.name for each in FIGURES if each.space.params.get("seed")}
    assert means == {"se_blocks", "se_ratio_grid", "channels", "shallow"}


# ---- the papers' splits


@pytest.mark.parametrize("reading", ["artist", "track", "clip"])
@pytest.mark.parametrize(
    ("ratios", "shares"),
    [
        ("60/10/30", (0.6, 0.1, 0.3)),
        ("75/25", (0.675, 0.075, 0.25)),
        ("60/20/20", (0.6, 0.2, 0.2)),
        ("80/10/10", (0.8, 0.1, 0.1)),
    ],
)
def test_the_papers_ratios_can_be_had_in_each_reading(ratios: str, shares: tuple[float, ...], reading: str) -> None:
    gtzan = open_dataset("gtzan", make=False)
    split = make_split(gtzan, DataConfig.checked({"dataset": "gtzan", "split": reading, "ratios": ratios}))
    parts = [part for track in gtzan.tracks for part in split.assign(track.track_id, 10)]
    assigned = [part for part in parts if part is not None]
    measured = [assigned.count(part) / len(assigned) for part in ("train", "validation", "test")]
    assert measured == pytest.approx(shares, abs=0.04 if reading == "artist" else 0.01)
    assert split.label == ("clip (leaky)" if reading == "clip" else reading)


def test_the_last_ten_tracks_of_each_genre_test() -> None:
    gtzan = open_dataset("gtzan", make=False)
    split = make_split(gtzan, Space.load(SPACES / "clip_length.yaml", profile="paper").data)
    test_tracks = [track.track_id for track in gtzan.tracks if split.assign(track.track_id, 1) == ["test"]]
    assert test_tracks == [track.track_id for track in gtzan.tracks if int(track.track_id[-5:]) >= 90]


# ---- the commands


@pytest.mark.parametrize("of", {of.study: of for of in FIGURES}.values(), ids=lambda of: of.study)
def test_the_command_of_a_figure_makes_a_study_that_has_it(of: Figure, tmp_path: Path) -> None:
    run, confirm = (shlex.split(command) for command in of.commands(tmp_path))
    arguments = parser().parse_args(run[3:])
    space = Space.load(arguments.space, profile=arguments.profile, overrides=overrides(arguments))
    assert space.budget.full == (of.epochs or space.budget.full)
    assert arguments.out == tmp_path
    assert confirm[:5] == ["python", "-m", "search.confirm", arguments.name, "--all"]
    assert arguments.name == of.study


# ---- ours


def study(out: Path, name: str, **header: Any) -> Record:
    known = {"space": "shallow", "dataset": "gtzan", "is_synthetic": False, "split": "track", **header}
    return new_record(out, name, **known)


def trained(record: Record, epochs: Iterable[dict[str, float]], **params: Any) -> None:
    proposal = Proposal(
        params={"model": "shallow", **params}, varying={}, labels={}, distributions={}, seed=0, network="n", repeat=0
    )
    number = record.start(proposal)
    for epoch, metrics in enumerate(epochs, start=1):
        record.report(number, {"epoch": epoch, **metrics})
    record.end(number, ended("complete"), values=[0.0])


def test_ours_is_the_mean_over_seeds_with_its_interval(tmp_path: Path) -> None:
    record = study(tmp_path, "a", space="se_ratio_grid", split="clip (leaky)")
    scores = [0.60, 0.66, 0.63, 0.61, 0.65]
    for score in scores:
        trained(record, [{"val_accuracy": 0.1}, {"val_accuracy": score}], r=16)
    trained(record, [{"val_accuracy": 0.99}], r=8)
    [of] = [each for each in FIGURES if each.published.table == "Table 5.2" and each.params == {"r": 16}]
    ours = ours_of(of, [record])
    assert ours is not None
    assert ours.values == tuple(scores) and (ours.metric, ours.split) == ("val_accuracy", "clip (leaky)")
    assert ours.interval == over_seeds(scores)
    minutes = Ours(values=(1, 2, 3, 4, 5), metric="train_minutes", study="s", dataset="d", split="track").interval
    assert (minutes.low, minutes.high) == pytest.approx(
        scipy.stats.t.interval(0.95, 4, loc=3, scale=scipy.stats.sem([1, 2, 3, 4, 5]))
    )


def test_a_figure_is_read_at_its_epoch_under_its_vote(tmp_path: Path) -> None:
    record = study(tmp_path, "a")
    epochs = [{"val_accuracy_majority": epoch / 1000, "val_clip_accuracy": epoch / 2000} for epoch in range(1, 151)]
    trained(record, epochs, batch_norm=True)
    majority = figure("shallow_cnn", "batch_norm=true epochs=100 vote=majority", "test_accuracy_majority")
    ours = ours_of(majority, [record])
    assert ours is not None and ours.values == (0.1,)
    by_clip = ours_of(figure("shallow_cnn", "batch_norm=true epochs=100 vote=none", "test_clip_accuracy"), [record])
    assert by_clip is not None and by_clip.values == (0.05,)
    later = figure("shallow_cnn", "batch_norm=true epochs=200 vote=majority", "test_accuracy_majority")
    assert ours_of(later, [record]) is None


def test_the_papers_dataset_goes_before_another_and_test_before_validation(tmp_path: Path) -> None:
    of = figure("shallow_cnn", "batch_norm=true epochs=100 vote=sum", "test_accuracy_sum")
    synthetic = study(tmp_path, "a", dataset="synthetic", is_synthetic=True)
    real, confirmed = study(tmp_path, "b"), study(tmp_path, "b-confirm", space="shallow-confirm")
    for record in (synthetic, real, confirmed):
        trained(record, [{"val_accuracy_sum": 0.5}] * 100, batch_norm=True)
    confirmed.note(TEST, {"scores": {"0": {"test_accuracy_sum": 0.7, "test_accuracy_none": 0.6}}})
    assert getattr(ours_of(of, [synthetic]), "dataset", None) == "synthetic"
    assert getattr(ours_of(of, [synthetic, real]), "study", None) == "b"
    assert getattr(ours_of(of, [confirmed, real, synthetic]), "values", None) == (0.7,)
    by_clip = figure("shallow_cnn", "batch_norm=true epochs=100 vote=none", "test_clip_accuracy")
    assert getattr(ours_of(by_clip, [real, confirmed]), "values", None) == (0.6,)


def test_a_test_after_the_last_epoch_is_none_of_an_earlier_one(tmp_path: Path) -> None:
    record = study(tmp_path, "b-confirm", space="shallow-confirm")
    trained(record, [{"val_accuracy_sum": 0.5}] * 200, batch_norm=True)
    record.note(TEST, {"scores": {"0": {"test_accuracy_sum": 0.7}}})
    ours = [
        ours_of(figure("shallow_cnn", f"batch_norm=true epochs={epochs} vote=sum", "test_accuracy_sum"), [record])
        for epochs in (100, 200)
    ]
    assert [getattr(each, "metric", None) for each in ours] == ["val_accuracy_sum", "test_accuracy_sum"]


def test_training_time_is_in_minutes(tmp_path: Path) -> None:
    record = study(tmp_path, "a", space="architectures")
    trained(record, [{"seconds": 30.0}] * 15, model="cnn3")
    ours = ours_of(figure("architectures", "model=cnn3", "train_minutes"), [record])
    assert ours is not None and ours.values == (7.5,)


# ---- the command line


def test_csv_has_every_figure_with_its_commands_or_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = study(tmp_path, "grid", space="se_ratio_grid")
    trained(record, [{"val_accuracy": 0.6}], r=16)
    assert papers.main(["--spaces", str(SPACES), "--out", str(tmp_path), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 107
    assert all(row["split"] for row in rows)
    reasons = [row for row in rows if row["reason"]]
    assert [(row["table"][:7], row["published"], row["run"]) for row in reasons] == [("Table 3", "0.0", "")] * 2
    assert all(row["run"] and row["confirm"] for row in rows if not row["reason"])
    [ours] = [row for row in rows if row["ours"]]
    assert (ours["table"], ours["setting"], ours["ours"], ours["study"]) == ("Table 5.2", "r=16", "0.6", "grid")


def test_the_table_shows_ours_with_its_split_and_the_commands_for_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = study(tmp_path, "grid", space="se_ratio_grid", split="clip (leaky)")
    for score in (0.6, 0.62):
        trained(record, [{"val_accuracy": score}], r=16)
    page = record.folder / "report" / "report.html"
    page.parent.mkdir()
    page.write_text("")
    assert papers.main(["--spaces", str(SPACES), "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "0.610 (0.600, 0.620)" in text and "gtzan, split clip (leaky) (grid)" in text
    assert "shallow_cnn: Table II, gtzan, split 75/25 of the tracks of each genre" in text
    assert f"search.run {SPACES}/se_ratio_grid.yaml --profile paper --name se_ratio_grid-paper --out {tmp_path}" in text
    assert "modality=both clip_seconds=3 dropout=0.2: the paper prints 0.00 for a run that it did not finish" in text
    assert f"report   {page.as_uri()}" in text
    assert text.splitlines()[-1] == "107 published figures, 0 of them with ours on the same dataset and metric"


def test_a_folder_without_spaces_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert papers.main(["--spaces", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: no space files in {tmp_path}\n"
