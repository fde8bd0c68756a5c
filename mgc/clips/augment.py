"""Augmentation: changes a batch of training clips at random, on its device.

Random numbers come from torch's global generators, which a training seeds for every epoch. Random starts of clips are
drawn elsewhere, where clips are cut (mgc.clips.clips).

Shape suffixes: B clips, C channels, F frequency bins, T frames, S samples, G genres, K masks, N positions along the
masked axis.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mgc.clips.clips import Batch, Clips
from mgc.config import AugmentConfig

X = Tensor | tuple[Tensor, Tensor]


class Augmentation:
    """The changes that a config asks for: gain and noise of the waveform, masks of the picture, then mixup of both.

    A mask sets values to their bin's mean over the training clips, which standardization turns into 0. (Park et al.
    2019 set 0 in pictures of mean 0.)
    """

    def __init__(self, config: AugmentConfig, clips: Clips) -> None:
        self.config, self.num_genres = config, len(clips.genres)
        self._hidden_F1 = clips.statistics[0][:, None] if config.needs_picture else None

    def __call__(self, batch: Batch) -> tuple[X, Tensor]:
        """The changed `x`, and the labels for the loss: genres (B,), or with mixup shares of genres (B, G)."""
        config = self.config
        x = self._changed(batch.x)
        if config.mixup_alpha == 0:
            return x, batch.y_B
        partner_B = torch.randperm(len(batch.y_B), device=batch.y_B.device)
        weight_B = mixup_weights(len(batch.y_B), config.mixup_alpha, batch.y_B.device)
        share_BG = functional.one_hot(batch.y_B, self.num_genres).float()
        mixed = [mixed_pairs(each, partner_B, weight_B) for each in (x if isinstance(x, tuple) else (x,))]
        return (mixed[0], mixed[1]) if len(mixed) == 2 else mixed[0], mixed_pairs(share_BG, partner_B, weight_B)

    def _changed(self, x: X) -> X:
        if isinstance(x, tuple):
            wave_BS, x_BCFT = x
            return self._wave(wave_BS), self._picture(x_BCFT)
        return self._wave(x) if x.dim() == 2 else self._picture(x)

    def _wave(self, wave_BS: Tensor) -> Tensor:
        config = self.config
        if config.gain_db:
            wave_BS = wave_BS * gains(len(wave_BS), config.gain_db, wave_BS.device)[:, None]
        return wave_BS if config.noise_snr_db is None else noisy(wave_BS, config.noise_snr_db)

    def _picture(self, x_BCFT: Tensor) -> Tensor:
        config, (num_clips, _, num_bins, num_frames) = self.config, x_BCFT.shape
        if self._hidden_F1 is None:
            return x_BCFT
        hidden_BF = masks(num_clips, config.freq_masks, num_bins, config.freq_mask_width, x_BCFT.device)
        hidden_BT = masks(num_clips, config.time_masks, num_frames, config.time_mask_width, x_BCFT.device)
        return torch.where(hidden_BF[:, None, :, None] | hidden_BT[:, None, None, :], self._hidden_F1, x_BCFT)


def masks(num_clips: int, num_masks: int, length: int, width: float, device: torch.device) -> Tensor:
    """Which positions (B, N) of an axis are hidden (Park et al. 2019, sec. 2).

    Each mask's width is drawn from 0 to the integer part of `width` x N, then its start so that it lies inside.
    """
    random_2BK = torch.rand(2, num_clips, num_masks, device=device)
    width_BK = (random_2BK[0] * (int(width * length) + 1)).floor()
    start_BK = (random_2BK[1] * (length - width_BK + 1)).floor()
    place_N = torch.arange(length, device=device)
    from_start_BKN = place_N - start_BK[:, :, None]
    return ((from_start_BKN >= 0) & (from_start_BKN < width_BK[:, :, None])).any(dim=1)


def mixup_weights(num_clips: int, alpha: float, device: torch.device) -> Tensor:
    """The weight (B,) of each clip in its pair: Beta(alpha, alpha), folded into [0.5, 1].

    Zhang et al. (2018) use all of [0, 1]. Partners are drawn too, so both make the same pairs in the end; but here a
    clip's own genre always weighs more.
    """
    shape = torch.full((), alpha, device=device)
    beta = torch.distributions.Beta(shape, shape, validate_args=False)  # validation would wait for the GPU
    weight_B: Tensor = beta.sample((num_clips,))
    return torch.maximum(weight_B, 1 - weight_B)


def mixed_pairs(value: Tensor, partner_B: Tensor, weight_B: Tensor) -> Tensor:
    """weight x a clip's own value + (1 - weight) x its partner's, for values of any shape (B, ...)."""
    weight = weight_B.view(-1, *[1] * (value.dim() - 1))
    return torch.lerp(value[partner_B], value, weight)


def gains(num_clips: int, most_db: float, device: torch.device) -> Tensor:
    """Factors (B,) of amplitude, uniform in decibels between -most_db and most_db."""
    level_B = (2 * torch.rand(num_clips, device=device) - 1) * most_db
    return torch.pow(10.0, level_B / 20)


def noisy(wave_BS: Tensor, snr_db: float) -> Tensor:
    """The waveforms plus white Gaussian noise, whose power is `snr_db` decibels below that of each waveform."""
    power_B1 = wave_BS.square().mean(dim=1, keepdim=True)
    return wave_BS + torch.randn_like(wave_BS) * (power_B1 * 10 ** (-snr_db / 10)).sqrt()
