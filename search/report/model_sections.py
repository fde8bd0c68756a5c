"""The sections of a report about the best model: what it heard in the validation part, and where it was wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mgc.config import Vote
from mgc.training.metrics import Ints, WrongTrack, classification_scores
from search.plots import plots
from search.report.material import Material
from search.report.page import Picture, Section, Table
from search.results.confirmed import winner
from search.results.predictions import Pictures
from search.space.describe import params_block
from search.words import named

NUM_WRONG = 12


def config(material: Material) -> Iterator[Section]:
    """Every param of the config that the answer is about, as YAML."""
    params = winner(material.record, material.confirmations)
    if params is not None:
        remark = "All of its params. Copied into a space file they train this config again."
        yield Section(title="The best config", remarks=(remark,), code=params_block(params))


def best(material: Material) -> Iterator[Section]:
    """The best model's confusion matrix and scores by genre; none where it left no predictions."""
    if material.validation is None or not material.complete:
        return
    trial = material.complete[0]
    predictions, _ = material.validation
    own: Vote = trial.params.get("vote", "sum")
    vote: Vote = "sum" if own == "none" else own
    confusion_GG = predictions.confusion(vote)
    plot = plots.png(plots.confusion(confusion_GG, predictions.genres))
    yield Section(
        title=f"The best trial on the validation part: {named(trial.varying)} (trial {trial.number})",
        remarks=(f"{len(predictions.track_ids)} tracks, vote {vote}, split {material.header.split}.",),
        pictures=(Picture(name="confusion", data=plot, text="confusion matrix of the best trial"),),
        tables=(_genre_table(confusion_GG, predictions.genres),),
    )


def _genre_table(confusion_GG: Ints, genres: Sequence[str]) -> Table:
    rows = []
    for index, genre in enumerate(genres):
        hits, tracks, predicted = confusion_GG[index, index], confusion_GG[index].sum(), confusion_GG[:, index].sum()
        shares = [_share(hits, predicted), _share(hits, tracks), _share(2 * hits, tracks + predicted)]
        rows.append([genre, str(tracks), *shares])
    mean = classification_scores(confusion_GG)
    means = [f"{score:.3f}" for score in (mean.precision, mean.recall, mean.f1)]
    rows.append(["macro mean", str(confusion_GG.sum()), *means])
    return Table(name="genres", columns=["genre", "tracks", "precision", "recall", "F1"], rows=rows)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def most_wrong(material: Material) -> Iterator[Section]:
    """The tracks that the best model was surest and wrong about, with their spectrograms where these are kept."""
    if material.validation is None or not material.complete:
        return
    predictions, pictures = material.validation
    tracks = predictions.most_wrong(NUM_WRONG)
    shown = [track for track in tracks if track.track_id in pictures]
    rows = [[track.track_id, track.genre, track.predicted, f"{track.probability:.3f}"] for track in tracks]
    columns = ["track", "genre", "predicted", "probability"]
    yield Section(
        title="The most confident mistakes",
        remarks=("Spectrograms of whole tracks, low frequencies at the bottom.",) if shown else (),
        pictures=(_spectrograms(shown, pictures),) if shown else (),
        tables=(Table(name="wrong", columns=columns, rows=rows),) if rows else (),
    )


def _spectrograms(tracks: Sequence[WrongTrack], pictures: Pictures) -> Picture:
    titled = [
        (f"{track.track_id}\n{track.genre}, predicted {track.predicted} ({track.probability:.2f})",
         pictures[track.track_id]) for track in tracks
    ]  # fmt: skip
    return Picture(name="wrong", data=plots.png(plots.pictures(titled)), text="their spectrograms")
