"""Music made by NumPy: a style's table of habits in, the samples of one track out. Knows no genres, writes no files.

S samples at SR Hz. A bar has 16 steps; a pattern is 16 characters, one per step: `.` is silence, a digit the chance in
tenths that the step sounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Chord = tuple[float, ...]  # Hz of its tones

SR = 22_050
STEPS = 16
SECTION_BARS = 2  # players pause for whole sections
PAUSES = 0.2  # share of the sections in which a player pauses
NOISE = -38.0  # dB of the hiss under everything
EQ_HZ = (60.0, 180.0, 500.0, 1400.0, 4000.0, 10_000.0)

_TABLE_SIZE = 4096
_ROOT_HZ = 55.0
_CHANGES = ".258"  # what a step of a pattern may become when it is varied


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a genre, an artist or a track sounds. Levels in dB, times in s, notes in semitones above the key's root."""

    bpm: float
    swing: float  # how late every other step is, as a share of a step
    kick: str
    snare: str
    hat: str
    bass: str
    chords: str
    melody: str
    scale: tuple[int, ...]
    progression: tuple[int, ...]  # a degree of the scale for each bar
    rolloff: float  # dB per octave by which the tones' harmonics fall
    even: float  # level of the even harmonics: 0 is hollow, 1 is full
    attack: float
    decay: float
    drive: float  # distortion; 1 is nearly none
    drums: float
    low: float
    middle: float
    high: float
    eq: tuple[float, ...] = (0,) * len(EQ_HZ)


def varied(style: Style, rng: np.random.Generator, spread: float) -> Style:
    """A style in the manner of this one. `spread` is how far it may stray: an artist's from a genre's about 1."""

    def plus(value: float, width: float) -> float:
        return float(value + spread * width * rng.standard_normal())

    def times(value: float, width: float) -> float:
        return float(value * np.exp(plus(0, width)))

    return replace(
        style,
        bpm=times(style.bpm, 0.08),
        swing=float(np.clip(plus(style.swing, 0.06), 0, 0.5)),
        kick=_mutated(style.kick, rng, spread),
        snare=_mutated(style.snare, rng, spread),
        hat=_mutated(style.hat, rng, spread),
        bass=_mutated(style.bass, rng, spread),
        chords=_mutated(style.chords, rng, spread),
        melody=_mutated(style.melody, rng, spread),
        rolloff=max(2.0, plus(style.rolloff, 1.5)),
        even=float(np.clip(plus(style.even, 0.2), 0, 1)),
        attack=times(style.attack, 0.4),
        decay=times(style.decay, 0.3),
        drive=max(1.0, times(style.drive, 0.3)),
        drums=plus(style.drums, 2.5),
        low=plus(style.low, 2.5),
        middle=plus(style.middle, 2.5),
        high=plus(style.high, 2.5),
        eq=tuple(plus(gain, 3.0) for gain in style.eq),
    )


def _mutated(pattern: str, rng: np.random.Generator, spread: float) -> str:
    changed = rng.random(len(pattern)) < 0.07 * spread
    return "".join(
        str(rng.choice(list(_CHANGES))) if change else step for step, change in zip(pattern, changed, strict=True)
    )


def render(style: Style, rng: np.random.Generator, seconds: float) -> Samples:
    """One track (S,) in this style, its peak at 0.9. Notes, pauses of the players and the key are drawn from `rng`."""
    num_samples = round(seconds * SR)
    score = _Score(style, rng, seconds)
    bands = (
        (style.drums, _drums(style, score, rng, num_samples)),
        (style.low, _bass(style, score, num_samples)),
        (style.middle, _chords(style, score, num_samples)),
        (style.high, _melody(style, score, rng, num_samples)),
    )
    y_S = np.float32(_gain(NOISE)) * rng.standard_normal(num_samples, np.float32)
    for level, band_S in bands:
        y_S += np.float32(_gain(level)) * _unit(band_S)
    y_S = _equalized(y_S, style.eq)
    return np.asarray(0.9 / np.abs(y_S).max() * y_S, dtype=np.float32)


class _Score:
    """When each pattern sounds in a track, and on which notes."""

    def __init__(self, style: Style, rng: np.random.Generator, seconds: float) -> None:
        self.style, self.rng = style, rng
        self.step_s = 60 / style.bpm / 4
        self.num_steps = int(seconds / self.step_s)
        self.root_hz = _ROOT_HZ * 2 ** (rng.integers(12) / 12)

    def onsets(self, pattern: str) -> Iterator[tuple[int, int]]:
        """Bar and first sample of each step that sounds; none in the sections where its player pauses."""
        bars = -(-self.num_steps // STEPS)
        plays = self.rng.random(bars // SECTION_BARS + 1) > PAUSES
        chance = np.array([0.0 if step == "." else (int(step) + 1) / 10 for step in pattern])
        sounds = self.rng.random((bars, STEPS)) < chance
        for step in np.flatnonzero(sounds.ravel()[: self.num_steps]).tolist():
            bar, late = step // STEPS, self.style.swing if step % 2 else 0.0
            if plays[bar // SECTION_BARS]:
                yield bar, int((step + late) * self.step_s * SR)

    def hz(self, bar: int, degree: int, octave: int) -> float:
        """Frequency of a degree of the scale above that bar's chord."""
        scale = self.style.scale
        degree += self.style.progression[bar % len(self.style.progression)]
        semitones = scale[degree % len(scale)] + 12 * (degree // len(scale) + octave)
        return float(self.root_hz * 2 ** (semitones / 12))


def _drums(style: Style, score: _Score, rng: np.random.Generator, num_samples: int) -> Samples:
    y_S = np.zeros(num_samples, np.float32)
    for pattern, sound in ((style.kick, _kick()), (style.snare, _snare(rng)), (style.hat, _hat(rng))):
        for _, start in score.onsets(pattern):
            _add(y_S, sound, start)
    return y_S


def _bass(style: Style, score: _Score, num_samples: int) -> Samples:
    dull = replace(style, rolloff=style.rolloff + 3, decay=min(style.decay, 0.4))
    notes = ((start, (score.hz(bar, 0, 0),)) for bar, start in score.onsets(style.bass))
    return _played(dull, notes, num_samples)


def _chords(style: Style, score: _Score, num_samples: int) -> Samples:
    triads = (
        (start, tuple(score.hz(bar, degree, 2) for degree in (0, 2, 4))) for bar, start in score.onsets(style.chords)
    )
    return _played(style, triads, num_samples)


def _melody(style: Style, score: _Score, rng: np.random.Generator, num_samples: int) -> Samples:
    """A walk along the scale, one or two degrees at a time, which turns back where it gets too far."""
    notes, degree = [], 0
    for bar, start in score.onsets(style.melody):
        degree = int(np.clip(degree + rng.integers(-2, 3), -3, 7))
        notes.append((start, (score.hz(bar, degree, 3),)))
    return _played(style, notes, num_samples)


def _played(style: Style, notes: Iterable[tuple[int, Chord]], num_samples: int) -> Samples:
    """Every chord from its first sample on; equal chords are computed once."""
    y_S = np.zeros(num_samples, np.float32)
    sounds: dict[Chord, Samples] = {}
    for start, chord in notes:
        if chord not in sounds:
            sounds[chord] = np.sum([_tone(hz, style) for hz in chord], axis=0, dtype=np.float32)
        _add(y_S, sounds[chord], start)
    return np.asarray(np.tanh(np.float32(style.drive) * _unit(y_S)))


def _tone(hz: float, style: Style) -> Samples:
    """One note: a cycle with the style's harmonics below half the sampling rate, read at `hz`, under its envelope."""
    harmonic = np.arange(1, min(40, int(SR / 2 / hz)) + 1)
    level = harmonic ** (-style.rolloff / (20 * np.log10(2)))
    level[1::2] *= style.even
    spectrum = np.zeros(_TABLE_SIZE // 2 + 1, np.complex64)
    spectrum[1 : len(level) + 1] = -0.5j * _TABLE_SIZE * level
    cycle = np.fft.irfft(spectrum).astype(np.float32)
    time_s = np.arange(int((style.attack + 3 * style.decay) * SR)) / SR
    phase = (time_s * (hz * _TABLE_SIZE)).astype(np.int64) & (_TABLE_SIZE - 1)
    return np.asarray(cycle[phase] * _envelope(time_s, style), dtype=np.float32)


def _envelope(time_s: npt.NDArray[np.float64], style: Style) -> npt.NDArray[np.float64]:
    """A straight attack, an exponential decay, and silence at the end, lest every note end in a click."""
    risen = np.minimum(time_s / style.attack, 1)
    fallen = np.exp(-np.maximum(time_s - style.attack, 0) / style.decay)
    return np.asarray(risen * fallen * (1 - time_s / time_s[-1]), dtype=np.float64)


def _kick() -> Samples:
    time_s = np.arange(int(0.25 * SR)) / SR
    phase = 2 * np.pi * (50 * time_s + 4 * (1 - np.exp(-time_s / 0.03)))
    return np.asarray(np.sin(phase) * np.exp(-time_s / 0.08), dtype=np.float32)


def _snare(rng: np.random.Generator) -> Samples:
    time_s = np.arange(int(0.2 * SR)) / SR
    body = np.sin(2 * np.pi * 190 * time_s) * np.exp(-time_s / 0.05)
    noise = rng.standard_normal(len(time_s)) * np.exp(-time_s / 0.06)
    return np.asarray(0.5 * body + 0.4 * noise, dtype=np.float32)


def _hat(rng: np.random.Generator) -> Samples:
    time_s = np.arange(int(0.08 * SR)) / SR
    hiss = np.diff(rng.standard_normal(len(time_s) + 2), n=2)  # white noise without its low part
    return np.asarray(0.12 * hiss * np.exp(-time_s / 0.02), dtype=np.float32)


def _add(y_S: Samples, sound: Samples, start: int) -> None:
    end = min(start + len(sound), len(y_S))
    y_S[start:end] += sound[: max(end - start, 0)]


def _gain(db: float) -> float:
    return float(10 ** (db / 20))


def _unit(y_S: Samples) -> Samples:
    """The samples at a root mean square of 0.1; silence stays silence."""
    rms = float(np.sqrt(np.mean(np.square(y_S))))
    return y_S * np.float32(0.1 / rms) if rms > 0 else y_S


def _equalized(y_S: Samples, eq: Sequence[float]) -> Samples:
    """Each band of EQ_HZ raised by its dB, in between by straight lines over log frequency."""
    hz = np.fft.rfftfreq(len(y_S), 1 / SR)
    db = np.interp(np.log(np.maximum(hz, 1)), np.log(EQ_HZ), eq)
    gain = (10 ** (db / 20)).astype(np.float32)
    return np.asarray(np.fft.irfft(np.fft.rfft(y_S) * gain, len(y_S)), dtype=np.float32)
