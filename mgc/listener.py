"""From waveforms to genres in one module: features, clips, network and vote, as for a track of a dataset.

A saved model predicts with it, and it can be exported as one graph. Shape suffixes: B tracks of a batch, S samples,
C channels, F bins, T frames, N clips of a track, G genres.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from mgc.clips.cutting import Ruler, audio_ruler, clip_starts
from mgc.config import ClipShape
from mgc.features.features import FLAT, as_stored, feature_module
from mgc.networks.training_config import TrainingConfig
from mgc.words.errors import ConfigError

FULL_SCALE = 32_768
"""Training reads waveforms as 16-bit integers; here they are rounded to the same."""


class Listener(nn.Module):
    """A trained network behind its features: waveforms (B, S) in [-1, 1) at `sr` Hz to probabilities (B, G).

    Every track is cut into clips as the config says, and its clips vote; vote `none` counts as `sum`. Of an overlapping
    grid all clips are used, because `random_clips` only saves time in training. S must be at least one clip. Decibels
    are relative to each track's maximum, so a track's result does not depend on the others in its batch.
    """

    def __init__(self, network: nn.Module, config: TrainingConfig, shape: ClipShape) -> None:
        super().__init__()
        if not shape.samples:
            raise ConfigError("a model of precomputed features hears no audio: how they were computed is not known")
        self.network = network
        self.feature_config = config.features
        self.features = None if shape.modality == "raw" else feature_module(config.features)
        self.clips = config.clips.model_copy(update={"random_clips": None})
        self.is_levelled = config.features.normalize == "track"
        self.majority = config.clips.vote == "majority"
        self.autocast = config.optimizer.precision == "bf16"
        self.shape, self.sr = shape, config.features.sr
        self.ruler: Ruler = audio_ruler(config.features, config.clips)

    def forward(self, y_BS: Tensor) -> Tensor:
        start_N = self.starts(y_BS.shape[1], y_BS.device)
        probabilities_BG = self._probabilities(self._cut(self._track_features(y_BS), start_N))
        probabilities_BNG = probabilities_BG.view(y_BS.shape[0], start_N.shape[0], probabilities_BG.shape[1])
        mean_BG: Tensor = probabilities_BNG.mean(dim=1)
        if not self.majority:
            return mean_BG
        num_clips, num_genres = probabilities_BNG.shape[1:]
        wins_BG = functional.one_hot(probabilities_BNG.argmax(dim=2), num_genres).to(mean_BG.dtype).sum(dim=1)
        shares_BG: Tensor = (wins_BG + mean_BG / 2) / (num_clips + 0.5)
        return shares_BG

    def starts(self, num_samples: int, device: torch.device) -> Tensor:
        """Where the clips of tracks of this length start, in the ruler's steps (N,): `clip_starts` without `unique`.

        It is written in torch, because an exported graph knows the length only when it is called.
        """
        slack, num = num_samples - self.ruler.clip, self.clips.clips_per_track
        if self.clips.clip_overlap is not None:
            stride = max(1, round(self.ruler.clip * (1 - self.clips.clip_overlap)))
            return torch.arange(0, slack + 1, stride, device=device) // self.ruler.step
        if num == 1:
            return torch.full((1,), slack // 2, device=device) // self.ruler.step
        spread_N = torch.arange(num, dtype=torch.float64, device=device) * (slack / (num - 1))
        return spread_N.round().long() // self.ruler.step

    def unique_starts(self, num_samples: int) -> Tensor:
        """The same starts (N,), each once, outside a graph. Raises ConfigError for less than half a clip."""
        if 2 * num_samples < self.ruler.clip:
            raise ConfigError(
                f"the audio is shorter than half a clip: {num_samples / self.sr:.2f} s of {self.clips.clip_seconds:g} s"
            )
        return torch.from_numpy(clip_starts(num_samples, self.ruler.clip, self.clips, "", self.ruler.step))

    def clip_probabilities(self, y_S: Tensor, start_N: Tensor, at_once: int) -> Tensor:
        """Probabilities (N, G) of one track's clips at these starts; `at_once` is the network's batch size."""
        features = self._track_features(y_S[None])
        pieces = torch.split(start_N, at_once)
        return torch.cat([self._probabilities(self._cut(features, piece_N)) for piece_N in pieces])

    def _track_features(self, y_BS: Tensor) -> list[Tensor]:
        """Waveform and picture of whole tracks, both (B, rows, columns), or the one that the modality needs.

        They are rounded as they are stored for training.
        """
        wave_BS = (y_BS * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE
        waves = [wave_BS[:, None]] if self.shape.modality != "spectrogram" else []
        if self.features is None:
            return waves
        return [*waves, as_stored(self.features(y_BS), self.feature_config).float()]

    def _cut(self, features: list[Tensor], start_N: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The clips of all tracks, one after another, as the network takes them."""
        match self.shape.modality:
            case "spectrogram":
                return self._pictures(features[0], start_N)
            case "raw":
                return self._waves(features[0], start_N)
            case "both":
                return self._waves(features[0], start_N), self._pictures(features[1], start_N)

    def _waves(self, y_B1S: Tensor, start_N: Tensor) -> Tensor:
        return _windows(y_B1S, start_N * self.ruler.step, self.shape.samples)[:, 0]

    def _pictures(self, x_BFT: Tensor, start_N: Tensor) -> Tensor:
        clips_NFT = _windows(x_BFT, start_N, self.shape.frames)
        if self.is_levelled:
            deviation_B, mean_B = torch.std_mean(x_BFT, dim=(1, 2), correction=0)
            deviation_B = torch.where(deviation_B > FLAT, deviation_B, 1.0)
            mean_N11, deviation_N11 = (
                level_B[:, None].expand(-1, start_N.shape[0]).reshape(-1, 1, 1) for level_B in (mean_B, deviation_B)
            )
            clips_NFT = (clips_NFT - mean_N11) / deviation_N11
        return clips_NFT[:, None]

    def _probabilities(self, x: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Probabilities (B, G) of clips."""
        with torch.autocast(x[0].device.type, torch.bfloat16) if self.autocast else nullcontext():
            logits_BG: Tensor = self.network(x)
        return logits_BG.float().softmax(dim=1)


def _windows(x_BFT: Tensor, start_N: Tensor, length: int) -> Tensor:
    """Windows (B N, F, length) over the last dimension, with silence beyond its end."""
    if not torch.compiler.is_exporting() and x_BFT.shape[2] < length:
        x_BFT = functional.pad(x_BFT, (0, length - x_BFT.shape[2]))
    index_NT = start_N[:, None] + torch.arange(length, device=x_BFT.device)
    x_BFNT: Tensor = x_BFT[:, :, index_NT]
    x_BNFT = x_BFNT.transpose(1, 2).contiguous()
    return x_BNFT.view(x_BFT.shape[0] * start_N.shape[0], x_BFT.shape[1], length)
