"""The Gaussian process over configs and epochs: against scikit-learn's on the same kernel, its gradients, its noise."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

from search.sampler.gaussian_process import JITTER, NO_TRIAL, Density, Hyperparams, Points, Posterior, Prior

PARAMS = np.array([0, 1, 2, 2, 2])
"""Of the columns: two numbers, and a choice of three."""
LOG = np.log([0.4, 1.3, 0.7, 0.6, 1.7, 0.2, 0.03])
"""Length scales of three params and of the epochs, s, t, noise."""
FAR, NEAR = 1e9, 1e-9
"""A length scale that a column does not count with, and one with which only equal values go together."""


def points(num, seed=0):
    generator = np.random.default_rng(seed)
    choices = np.eye(3)[generator.integers(3, size=num)] / np.sqrt(2)
    return Points(
        configs_NC=np.concatenate([generator.random((num, 2)), choices], axis=1),
        depths_N=generator.choice([0.0, 0.3, 1.0], size=num),
        trials_N=generator.integers(num // 2, size=num),
    )


def table(points):
    """The points as scikit-learn has them: columns of the config, the depth, the trial."""
    return np.column_stack([points.configs_NC, points.depths_N, points.trials_N])


def sklearn_posterior(known, values):
    scales, (depth, s, t, noise) = np.exp(LOG[:3])[PARAMS].tolist(), np.exp(LOG[3:])
    others = [FAR] * len(PARAMS)
    over_configs = ConstantKernel(s) * Matern([*scales, FAR, FAR], nu=2.5)
    over_trials = ConstantKernel(t) * RBF([*others, FAR, NEAR])
    kernel = Matern([*others, depth, FAR], nu=2.5) * (over_configs + over_trials + ConstantKernel(1.0))
    return GaussianProcessRegressor(kernel, alpha=noise + JITTER, optimizer=None).fit(table(known), values)


@pytest.fixture
def known():
    return points(40)


@pytest.fixture
def values(known):
    return np.random.default_rng(1).normal(size=len(known)) + 3 * known.configs_NC[:, 0]


def test_predictions_are_those_of_scikit_learn(known, values):
    ours, theirs = Posterior(Hyperparams(LOG), PARAMS, known, values), sklearn_posterior(known, values)
    asked = points(25, seed=2)  # of trials that have results too
    mean, deviation = ours.predict(asked)
    np.testing.assert_allclose((mean, deviation), theirs.predict(table(asked), return_std=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.mean(asked), mean, rtol=1e-9)


def test_a_config_of_no_trial_has_what_trials_add_left_out(known, values):
    """The curve of a config itself, not of another training of it, though two of them carry the same number."""
    posterior = Posterior(Hyperparams(LOG), PARAMS, known, values)
    unknown = Points.at(np.array([[0.5, 0.5, 1 / np.sqrt(2), 0, 0]]), 1.0)
    of_a_trial = Points(configs_NC=unknown.configs_NC, depths_N=unknown.depths_N, trials_N=np.array([999]))
    (mean, deviation), (same_mean, larger) = posterior.predict(unknown), posterior.predict(of_a_trial)
    np.testing.assert_allclose(mean, same_mean)
    np.testing.assert_allclose(larger**2 - deviation**2, 0.2)
    assert not (unknown + unknown).same_trial(unknown).any() and NO_TRIAL not in known.trials_N


def test_results_as_expected_change_no_mean_and_make_their_surroundings_known(known, values):
    posterior = Posterior(Hyperparams(LOG), PARAMS, known, values)
    pending, asked = points(5, seed=3), points(25, seed=4)
    supposed = posterior.supposing(pending)
    np.testing.assert_allclose(supposed.mean(asked), posterior.mean(asked), atol=1e-8)
    assert (supposed.predict(pending)[1] < 0.7 * posterior.predict(pending)[1]).all()
    theirs = sklearn_posterior(known + pending, np.append(values, posterior.mean(pending)))
    np.testing.assert_allclose(supposed.predict(asked)[1], theirs.predict(table(asked), return_std=True)[1], rtol=1e-5)


def test_the_likelihood_is_that_of_scikit_learn(known, values):
    prior = Prior(PARAMS)
    loss, _ = Density(prior, known, values)(LOG)
    likelihood = -loss - prior.log_density(LOG)[0] - 0.5 * len(known) * np.log(2 * np.pi)
    theirs = sklearn_posterior(known, values).log_marginal_likelihood_value_
    assert likelihood == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("log_H", [LOG, np.zeros(7), LOG - 1])
def test_the_gradient_is_that_of_differences(known, values, log_H):
    density = Density(Prior(PARAMS), known, values)
    by_differences = approx_fprime(log_H, lambda at: density(at)[0], 1e-6)
    np.testing.assert_allclose(density(log_H)[1], by_differences, rtol=1e-4, atol=1e-3)


def test_the_fit_is_at_least_as_likely_as_the_truth():
    """Values drawn from a process: what was fitted explains them no worse, and knows their noise."""
    known, generator = points(150, seed=5), np.random.default_rng(6)
    covariance = Hyperparams(LOG).covariance(known, known, PARAMS) + 0.03 * np.eye(150)
    values = generator.multivariate_normal(np.zeros(150), covariance)
    prior = Prior(PARAMS)
    fitted = prior.fitted(known, values, generator)
    density = Density(prior, known, values)
    assert density(fitted.log_H)[0] <= density(LOG)[0]
    assert 0.01 < fitted.others[-1] < 0.09


def test_repeats_of_a_config_show_how_much_chance_there_is():
    """Each of 20 configs twice, at the full budget: the two trainings differ by a deviation of 0.6."""
    generator = np.random.default_rng(7)
    configs = np.repeat(generator.random((20, 1)), 2, axis=0)
    trainings = Points(configs_NC=configs, depths_N=np.ones(40), trials_N=np.arange(40))
    values = 4 * configs[:, 0] + generator.normal(scale=0.6, size=40)
    _, _, t, noise = Prior(np.array([0])).fitted(trainings, values, generator).others
    assert 0.6**2 / 2 < t + noise < 0.6**2 * 2
