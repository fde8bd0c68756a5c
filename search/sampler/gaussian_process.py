"""A Gaussian process over configs and epochs: what is known of every config at every epoch, and how surely.

The covariance of two results, the first at config x and epoch a of trial i, the second at x', b, j, is

    Kr(log a, log b) * (s * Kx(x, x') + t * [i = j] + 1) + noise * [the same result]

Kr and Kx are Matern 5/2; Kx has a length scale for each param. The 1 stands for the learning curve that all configs
share, s for the curve of a config, t for what a single training adds to it by chance (its seed). The hyperparameters
are those of the highest posterior density under a prior, found by exact gradients. It must not know Optuna, params or
the study.

Shapes: N results, M points that are asked for, C columns of a config, P params, H hyperparameters (P + 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_TRIAL = -1
"""The trial of a point that no trial has been at."""
MAX_FITTED = 160
"""The hyperparameters are fitted to so many results at most, drawn by chance."""
MAX_STEPS = 20
"""Steps of the fit. It begins at the prior's mean, from where a few of them lead close to the best."""
JITTER = 1e-6
"""Added to the noise, for the factorization."""
OTHERS_PRIOR = np.array([[0.0, 0.7], [0.0, 1.0], [-2.0, 1.2], [-4.0, 1.5]])
"""Mean and deviation of the logarithms of the epochs' length scale, s, t and noise, under normal priors."""
OTHERS_BOUNDS = ((-2.0, 4.0), (-5.0, 5.0), (-9.0, 3.0), (-10.0, 2.0))
SCALES_BOUNDS = (-4.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class Points:
    """Configs, each at an epoch of a trial."""

    configs_NC: Floats
    depths_N: Floats
    """log(epoch) / log(full budget): 0 to 1."""
    trials_N: Ints
    """The number of the trial, or NO_TRIAL."""

    @classmethod
    def at(cls, configs_NC: Floats, depth: float) -> Points:
        """Configs that no trial has been at, all at one depth."""
        num = len(configs_NC)
        return cls(configs_NC=configs_NC, depths_N=np.full(num, depth), trials_N=np.full(num, NO_TRIAL))

    def __len__(self) -> int:
        return len(self.depths_N)

    def __getitem__(self, index: Ints) -> Points:
        return Points(configs_NC=self.configs_NC[index], depths_N=self.depths_N[index], trials_N=self.trials_N[index])

    def __add__(self, other: Points) -> Points:
        return Points(
            configs_NC=np.concatenate([self.configs_NC, other.configs_NC]),
            depths_N=np.concatenate([self.depths_N, other.depths_N]),
            trials_N=np.concatenate([self.trials_N, other.trials_N]),
        )

    def same_trial(self, other: Points) -> Floats:
        """1 where two points are of one trial, else 0."""
        equal = self.trials_N[:, None] == other.trials_N[None]
        return np.asarray(equal & (self.trials_N[:, None] != NO_TRIAL), dtype=float)


@dataclass(frozen=True)
class Hyperparams:
    """The hyperparameters as one vector of logarithms."""

    log_H: Floats

    @property
    def scales(self) -> Floats:
        """The length scale of each param."""
        return np.asarray(np.exp(self.log_H[:-4]))

    @property
    def others(self) -> tuple[float, float, float, float]:
        """The epochs' length scale, s, t, noise."""
        scale, s, t, noise = np.exp(self.log_H[-4:]).tolist()
        return scale, s, t, noise

    def covariance(self, a: Points, b: Points, params_C: Ints) -> Floats:
        """Between the values at the points of a and of b, without the noise of results."""
        scale, s, t, _ = self.others
        weights_C = 1 / self.scales[params_C]
        curves, _ = matern52(_squared_distances(a.configs_NC * weights_C, b.configs_NC * weights_C))
        epochs, _ = matern52(((a.depths_N[:, None] - b.depths_N[None]) / scale) ** 2)
        return np.asarray(epochs * (s * curves + t * a.same_trial(b) + 1.0))

    def variances(self, points: Points) -> Floats:
        """The diagonal of the points' covariance."""
        _, s, t, _ = self.others
        return np.asarray(s + 1.0 + t * (points.trials_N != NO_TRIAL))


def matern52(squared: Floats) -> tuple[Floats, Floats]:
    """Matern 5/2 of squared distances, and of a distance r/l the slope by log(l), divided by (r/l)^2.

    >>> [float(each.round(4)) for each in matern52(np.array(1.0))]
    [0.524, 0.5764]
    """
    root = math.sqrt(5) * np.sqrt(squared)
    decay = np.exp(-root)
    return (1 + root + 5 / 3 * squared) * decay, 5 / 3 * (1 + root) * decay


def _squared_distances(a_NC: Floats, b_MC: Floats) -> Floats:
    squared = (a_NC**2).sum(1)[:, None] + (b_MC**2).sum(1)[None] - 2 * a_NC @ b_MC.T
    return np.asarray(np.maximum(squared, 0.0))


class Posterior:
    """What the process says of any point, given some results."""

    def __init__(self, hyperparams: Hyperparams, params_C: Ints, points: Points, values_N: Floats) -> None:
        self.hyperparams, self.params_C = hyperparams, params_C
        self.points, self.values_N = points, values_N
        covariance_NN = hyperparams.covariance(points, points, params_C)
        covariance_NN.flat[:: len(points) + 1] += hyperparams.others[-1] + JITTER
        self._factor_NN = cholesky(covariance_NN, lower=True, check_finite=False)
        self._weights_N = cho_solve((self._factor_NN, True), values_N, check_finite=False)

    def mean(self, points: Points) -> Floats:
        """The expected values there, one each."""
        return np.asarray(self.hyperparams.covariance(points, self.points, self.params_C) @ self._weights_N)

    def predict(self, points: Points) -> tuple[Floats, Floats]:
        """The expected values there and their deviations, without the noise of a result."""
        covariance_MN = self.hyperparams.covariance(points, self.points, self.params_C)
        explained_NM = solve_triangular(self._factor_NN, covariance_MN.T, lower=True, check_finite=False)
        variances_M = self.hyperparams.variances(points) - (explained_NM**2).sum(0)
        return covariance_MN @ self._weights_N, np.sqrt(np.maximum(variances_M, 1e-10))

    def supposing(self, points: Points) -> Posterior:
        """The same with results at these points that are as expected: the surroundings then look known."""
        values = np.concatenate([self.values_N, self.mean(points)])
        return Posterior(self.hyperparams, self.params_C, self.points + points, values)


class Prior:
    """A process before any result, over configs of which `params_C` names the param of each column, from 0."""

    def __init__(self, params_C: Ints) -> None:
        self.params_C = params_C
        num_params = int(params_C.max()) + 1
        # Length scales grow with the square root of the number of params, as distances do (Hvarfner et al. 2024).
        scales = np.full((num_params, 2), (0.5 * math.log(num_params) - 0.5, 1.0))
        self._mean_H, self._deviation_H = np.concatenate([scales, OTHERS_PRIOR]).T
        self._bounds = [SCALES_BOUNDS] * num_params + list(OTHERS_BOUNDS)

    def posterior(self, points: Points, values_N: Floats, generator: np.random.Generator) -> Posterior:
        """The process after these results, its hyperparameters fitted to them, from the prior's mean on."""
        return Posterior(self.fitted(points, values_N, generator), self.params_C, points, values_N)

    def fitted(self, points: Points, values_N: Floats, generator: np.random.Generator) -> Hyperparams:
        """The most likely hyperparameters after these results."""
        if len(points) > MAX_FITTED:
            chosen = np.sort(generator.choice(len(points), MAX_FITTED, replace=False))
            points, values_N = points[chosen], values_N[chosen]
        density = Density(self, points, values_N)
        options = {"maxiter": MAX_STEPS}
        found = minimize(density, self._mean_H, jac=True, method="L-BFGS-B", bounds=self._bounds, options=options)
        return Hyperparams(found.x)

    def log_density(self, log_H: Floats) -> tuple[float, Floats]:
        """Of these hyperparameters before any result, up to a constant, and its gradient."""
        offset_H = (log_H - self._mean_H) / self._deviation_H
        return -0.5 * float(offset_H @ offset_H), -offset_H / self._deviation_H


class Density:
    """Called with hyperparameters: minus their log posterior density after some results, and its gradient."""

    def __init__(self, prior: Prior, points: Points, values_N: Floats) -> None:
        self._prior, self._values_N = prior, values_N
        configs_NC, depths_N = points.configs_NC, points.depths_N
        self._squared_PNN = np.stack(
            [
                _squared_distances(configs_NC[:, columns], configs_NC[:, columns])
                for columns in (prior.params_C == param for param in range(prior.params_C.max() + 1))
            ]
        )
        self._squared_depths_NN = (depths_N[:, None] - depths_N[None]) ** 2
        self._same_trial_NN = points.same_trial(points)

    def __call__(self, log_H: Floats) -> tuple[float, Floats]:
        hyperparams = Hyperparams(log_H)
        (scale, s, t, noise), num = hyperparams.others, len(self._values_N)
        precisions_P = hyperparams.scales**-2
        curves, curves_slope = matern52(np.tensordot(precisions_P, self._squared_PNN, 1))
        squared_depths = self._squared_depths_NN / scale**2
        epochs, epochs_slope = matern52(squared_depths)
        at_one_epoch = s * curves + t * self._same_trial_NN + 1.0
        covariance = epochs * at_one_epoch
        covariance.flat[:: num + 1] += noise + JITTER
        factor = cholesky(covariance, lower=True, check_finite=False)
        inverse = cho_solve((factor, True), np.eye(num), check_finite=False)
        weights = inverse @ self._values_N
        log_density, log_density_slope = self._prior.log_density(log_H)
        loss = 0.5 * self._values_N @ weights + np.log(factor.diagonal()).sum() - log_density

        by_covariance = 0.5 * (inverse - np.outer(weights, weights))  # the loss's slope by each covariance
        by_sum = by_covariance * epochs
        slope_H = np.concatenate(
            [
                s * precisions_P * np.tensordot(self._squared_PNN, by_sum * curves_slope, 2),
                [
                    (by_covariance * at_one_epoch * epochs_slope * squared_depths).sum(),
                    s * (by_sum * curves).sum(),
                    t * (by_sum * self._same_trial_NN).sum(),
                    noise * by_covariance.trace(),
                ],
            ]
        )
        return float(loss), slope_H - log_density_slope
