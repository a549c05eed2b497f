"""Metrics of distribution against closed forms and plain loops."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.linalg import sqrtm

from dipy_synth.errors import InputError
from dipy_synth.metrics.distribution import (
    density_coverage,
    fid,
    frechet_distance,
    inception_score,
    kid,
    kid_of_subsets,
    mmd,
    precision_recall,
)


def gaussians(n, m, d, seed=0, shift=0.5):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    return rng.normal(size=(n, d)), rng.normal(shift, 1, size=(m, d)) @ mix


def test_frechet_distance_of_gaussians_along_the_axes():
    variances, others = np.array([1.0, 4, 9]), np.array([4.0, 4, 0])
    found = frechet_distance([0, 0, 0], np.diag(variances), [1, 2, 0], np.diag(others))
    expected = 5 + np.sum((np.sqrt(variances) - np.sqrt(others)) ** 2)
    assert found == pytest.approx(expected)


def test_frechet_distance_agrees_with_the_root_and_the_eigenvalues_of_the_product():
    a, b = (np.cov(x.T) for x in gaussians(50, 60, 6))
    rest = 1 + np.trace(a) + np.trace(b)
    by_root = rest - 2 * np.trace(sqrtm(a @ b)).real
    by_values = rest - 2 * np.sqrt(np.linalg.eigvals(a @ b).real.clip(0)).sum()
    found = frechet_distance(np.zeros(6), a, np.eye(6)[0], b)
    assert found == pytest.approx(by_root)
    assert found == pytest.approx(by_values)


@pytest.mark.parametrize(("n", "m"), [(40, 30), (5, 30), (30, 5), (5, 4), (12, 12)])
def test_fid_is_that_of_the_fitted_gaussians_even_below_full_rank(n, m):
    x, y = gaussians(n, m, 12)
    expected = frechet_distance(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    assert fid(x, y) == pytest.approx(expected, rel=1e-6)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)


def cubic(a, b):
    return (a @ b / len(a) + 1) ** 3


def gaussian(a, b):
    return np.exp(-np.sum((a - b) ** 2) / (2 * 1.7**2))


@pytest.mark.parametrize(
    ("metric", "kernel", "options"),
    [(kid, cubic, {}), (mmd, gaussian, {"bandwidth": 1.7})],
)
def test_kernel_metrics_are_those_of_a_double_loop(metric, kernel, options):
    x, y = gaussians(7, 5, 3)
    within = np.mean([kernel(a, b) for a, b in combinations(x, 2)])
    others = np.mean([kernel(a, b) for a, b in combinations(y, 2)])
    between = np.mean([kernel(a, b) for a, b in product(x, y)])
    expected = within + others - 2 * between
    assert metric(x, y, **options) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [kid, mmd])
def test_kernel_metrics_are_zero_on_average_for_one_distribution(metric):
    rng = np.random.default_rng(0)
    values = [
        metric(rng.normal(size=(8, 3)), rng.normal(size=(6, 3))) for _ in range(400)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert min(values) < 0


def test_median_distance_of_the_real_ones_is_the_default_bandwidth():
    x, y = np.array([[0.0], [1], [3]]), np.array([[0.5], [9], [2]])
    assert mmd(x, y) == mmd(x, y, bandwidth=2)


def test_kid_of_subsets_of_everything_is_kid():
    x, y = gaussians(9, 9, 3)
    mean, sd, (low, high) = kid_of_subsets(x, y, size=9, subsets=5)
    assert mean == pytest.approx(kid(x, y))
    assert sd == pytest.approx(0, abs=1e-9) and low == pytest.approx(high)
    mean, sd, (low, high) = kid_of_subsets(x, y)
    assert low < mean < high and sd > 0
    with pytest.raises(InputError, match="subsets of 10"):
        kid_of_subsets(x, y, size=10)


def test_inception_score_runs_from_one_to_the_number_of_classes():
    sure = np.tile(np.eye(4), (5, 1))
    assert inception_score(sure)[0] == pytest.approx(4)
    assert inception_score(np.full((6, 4), 0.25))[0] == pytest.approx(1)
    assert inception_score(sure[::4])[0] == pytest.approx(1)
    assert inception_score(np.repeat(np.eye(4), 2, axis=0), splits=2) == (
        pytest.approx(2),
        pytest.approx(0),
    )
    with pytest.raises(InputError, match="sum to 1"):
        inception_score(2 * sure)


def test_neighbours_of_equal_and_of_distant_cohorts():
    x, _ = gaussians(30, 30, 3)
    assert precision_recall(x, x) == (1, 1)
    density, coverage = density_coverage(x, x)
    # The volume itself and the k - 1 next ones are inside of each of n balls.
    assert density == pytest.approx(1) and coverage == 1
    assert precision_recall(x, x + 100) == density_coverage(x, x + 100) == (0, 0)


def test_dense_but_narrow_samples_are_precise_and_cover_little():
    x, _ = gaussians(60, 60, 2)
    y = 0.01 * x
    precision, recall = precision_recall(x, y)
    density, coverage = density_coverage(x, y)
    assert precision == 1 and recall < 0.1
    assert density > 0.5 and coverage < 0.5


def test_neighbours_on_a_line():
    real, synthetic = np.arange(4.0)[:, None], np.array([[0.5], [1.2], [9], [9.1]])
    # Radii: 1 for every real volume with k = 1.
    assert precision_recall(real, synthetic, k=1) == (0.5, 0.5)
    density, coverage = density_coverage(real, synthetic, k=1)
    assert (density, coverage) == (1.0, 0.75)


@pytest.mark.parametrize(
    ("real", "synthetic", "words"),
    [
        (np.zeros((1, 3)), np.zeros((4, 3)), "features of real"),
        (np.zeros((4, 3)), np.zeros((0, 3)), "features of synthetic"),
        (np.zeros((4, 3)), np.zeros((4, 2)), "2 features; expected 3"),
        (np.full((4, 3), np.nan), np.zeros((4, 3)), "not finite"),
    ],
)
def test_bad_features_are_reported(real, synthetic, words):
    for metric in (fid, kid, mmd):
        with pytest.raises(InputError, match=words):
            metric(real, synthetic)


def test_fid_and_kid_agree_with_torch_fidelity():
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_fid import (
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = gaussians(60, 60, 16)
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    statistics = [fid_features_to_statistics(t) for t in (a, b)]
    theirs = fid_statistics_to_metric(*statistics, False)
    assert fid(x, y) == pytest.approx([*theirs.values()][0], rel=1e-4)
    theirs = kid_features_to_metric(a, b, kid_subsets=1, kid_subset_size=60)
    assert kid(x, y) == pytest.approx([*theirs.values()][0], rel=1e-4)
    theirs = isc_features_to_metric(a, splits=3, shuffle=False)
    ours = inception_score(torch.softmax(a, dim=1).numpy(), splits=3)
    assert ours == pytest.approx([*theirs.values()], rel=1e-4)


def test_fid_agrees_with_torchmetrics():
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchmetrics")
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_mmd

    x, y = (torch.from_numpy(z) for z in gaussians(60, 60, 16))
    theirs = _compute_fid(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T))
    assert fid(x, y) == pytest.approx(float(theirs), rel=1e-4)
    assert kid(x, y) == pytest.approx(float(poly_mmd(x, y)), rel=1e-4)


def test_neighbours_agree_with_prdc():
    prdc = pytest.importorskip("prdc")
    x, y = gaussians(60, 50, 4)
    y = 0.5 * y
    theirs = prdc.compute_prdc(x, y, nearest_k=5)
    ours = [*precision_recall(x, y), *density_coverage(x, y)]
    names = ("precision", "recall", "density", "coverage")
    assert ours == pytest.approx([theirs[name] for name in names], abs=1e-4)
