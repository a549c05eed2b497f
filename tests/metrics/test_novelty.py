"""Authenticity, the Vendi score and feature likelihood against closed forms."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.metrics.novelty import (
    LEAST_SD,
    authenticity,
    feature_likelihood_divergence,
    fit_variances,
    vendi_ratio,
    vendi_score,
)


def draw(n, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_authenticity_on_a_line():
    train = [[3.0], [10], [12]]
    # 15 is 3 from 12, which is 2 from 10; 4 and 13 are nearer than neighbours are.
    assert authenticity(train, [[15.0], [4], [13]]) == pytest.approx(1 / 3)
    assert authenticity(train, train) == 0
    noisy = draw(50) + np.random.default_rng(1).normal(0, 0.1, (50, 6))
    assert authenticity(draw(50), noisy) < 0.05
    assert authenticity(draw(200), draw(200, seed=3)) > 0.4
    with pytest.raises(InputError, match="2 features; expected 1"):
        authenticity(train, [[1.0, 2]])


def test_vendi_score_counts_kinds():
    same = np.ones((7, 3))
    assert vendi_score(same) == pytest.approx(1)
    assert vendi_score(np.eye(7)) == pytest.approx(7)
    kinds = np.repeat(np.eye(4), 5, axis=0)
    assert vendi_score(kinds) == pytest.approx(4)
    assert vendi_score(kinds * 3) == pytest.approx(4)  # a cosine sees no length
    far = np.arange(5.0)[:, np.newaxis] * 100
    assert vendi_score(far, scale=1) == pytest.approx(5)
    # Two volumes of similarity s: eigenvalues (1 + s) / 2 and (1 - s) / 2.
    s, pair = np.exp(-0.5), np.array([[0.0], [1]])
    p = np.array([1 + s, 1 - s]) / 2
    assert vendi_score(pair, scale=1) == pytest.approx(np.exp(-np.sum(p * np.log(p))))


@pytest.mark.parametrize("scale", [None, 2.0])
def test_vendi_score_is_that_of_its_authors(scale):
    vendi = pytest.importorskip("vendi_score.vendi")
    features = draw(40)
    if scale is None:
        expected = vendi.score_X(features, normalize=True)
    else:
        apart = np.sum((features[:, None] - features) ** 2, axis=-1)
        expected = vendi.score_K(np.exp(-apart / (2 * scale**2)))
    assert vendi_score(features, scale=scale) == pytest.approx(expected, rel=1e-4)


def test_vendi_ratio_is_of_equal_numbers():
    kinds = np.eye(6)
    assert vendi_ratio(kinds, kinds[[0, 0, 1, 1, 2, 2]]) == pytest.approx(1 / 2)
    assert vendi_ratio(kinds, kinds[:3]) == pytest.approx(1)
    assert vendi_ratio(kinds[:3], kinds) == pytest.approx(1)


def test_variance_about_one_center_is_the_mean_square():
    points = draw(300)
    found = fit_variances(np.zeros((1, 6)), points)
    assert found == pytest.approx(np.mean(points**2))
    far = np.array([[0.0] * 6, [100.0] * 6])
    both = np.concatenate([points, 100 + 2 * points])
    assert fit_variances(far, both) == pytest.approx(
        np.mean(points**2) * np.array([1, 4])
    )
    assert fit_variances(points, points) == pytest.approx(LEAST_SD**2)


def test_feature_likelihood_divergence_ranks_new_copied_shifted():
    train, held_out = draw(200), draw(200, seed=1)
    fld = [
        feature_likelihood_divergence(train, held_out, x)
        for x in (draw(200, seed=2), draw(200, seed=2) + 2, train + 1e-6)
    ]
    assert -15 < fld[0] < 5  # more centers than the half that sets the zero
    assert fld[1] > 20 and fld[2] > 500
    half = np.random.default_rng(0).permutation(200)[:100]
    one = feature_likelihood_divergence(train, held_out, train[half], seed=0)
    assert one > fld[0]  # its own originals are in the training set
    few = draw(200, seed=2)[:4].repeat(50, axis=0)
    assert feature_likelihood_divergence(train, held_out, few) > fld[0]
    with pytest.raises(InputError, match="constant"):
        feature_likelihood_divergence(np.ones((5, 2)), held_out[:, :2], few[:, :2])
