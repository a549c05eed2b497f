"""Distribution metrics with negative and positive controls, for small n.

The floor is the value of real volumes against other real ones, the ceiling that of
noise, all with the same number of volumes on either side, since the metrics depend on
it. Metrics are normalised between them: 0 is real against real, 1 noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
import math

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_features, check_volumes
from dipy_synth.metrics.distribution import (
    density_coverage,
    fid,
    inception_score,
    kid,
    mmd,
    precision_recall,
)
from dipy_synth.metrics.novelty import vendi_ratio
from dipy_synth.utils.random import random_stream


@dataclass(frozen=True)
class Metric:
    """One metric, and the number of volumes it needs.

    Parameters
    ----------
    function : callable
        ``(real, synthetic) -> float`` on features (n, d) and (m, d).
    least : int, optional
        Volumes on either side below which it is not defined.
    per_feature : float, optional
        Least number of volumes per feature; below, sampling error dominates.
    bounds : tuple of float, (2,), optional
        Least and greatest value; intervals stay between them.
    two_sided : bool, optional
        Whether it is best at the floor and worse on either side, as a ratio is; then it
        is not normalised.
    """

    function: Callable
    least: int = 2
    per_feature: float = 0.0
    bounds: tuple = (-np.inf, np.inf)
    two_sided: bool = False


#: Metrics on features.
METRICS = {
    # With 4 volumes a feature, its floor is 0.15 of the variance of Gaussian features.
    "fid": Metric(fid, per_feature=4, bounds=(0, np.inf)),
    "kid": Metric(kid),
    "mmd": Metric(mmd),
    "precision": Metric(lambda a, b: precision_recall(a, b)[0], 6, bounds=(0, 1)),
    "recall": Metric(lambda a, b: precision_recall(a, b)[1], 6, bounds=(0, 1)),
    "density": Metric(lambda a, b: density_coverage(a, b)[0], 6, bounds=(0, np.inf)),
    "coverage": Metric(lambda a, b: density_coverage(a, b)[1], 6, bounds=(0, 1)),
    "vendi_ratio": Metric(vendi_ratio, bounds=(0, np.inf), two_sided=True),
}
#: Metrics on class probabilities, for `compare` with these in place of features.
CLASS_METRICS = {
    "inception_score": Metric(lambda a, b: inception_score(b)[0], per_feature=1)
}


@dataclass(frozen=True)
class Comparison:
    """Value of a metric, with its floor and ceiling.

    Parameters
    ----------
    name : str
        Name of the metric.
    value : float
        Value over all volumes; NaN where there are too few for it.
    interval : tuple of float, (2,)
        Interval of `value`.
    matched, floor, ceiling : float
        Synthetic, other real volumes and noise against real ones, `n` volumes on either
        side; means over many draws.
    normalized : float
        Position of `matched` between floor (0) and ceiling (1); NaN where the two do
        not differ, or the metric is two-sided. Below 0 is better than real against
        real.
    normalized_interval : tuple of float, (2,)
        Interval of `normalized`.
    n : int
        Volumes on either side in the last four.
    warnings : tuple of str
        Reasons why the value is unreliable.
    """

    name: str
    value: float = math.nan
    interval: tuple = (math.nan, math.nan)
    matched: float = math.nan
    floor: float = math.nan
    ceiling: float = math.nan
    normalized: float = math.nan
    normalized_interval: tuple = (math.nan, math.nan)
    n: int = 0
    warnings: tuple = ()

    @property
    def label(self):
        """Name of the metric for a reader: "FID", "power distance"; str."""
        return _label(self.name)


def compare(real, synthetic, noise, *, metrics=None, repeats=100, seed=0):
    """Compute each metric with its 95 % interval, its floor and its ceiling.

    In each repeat the real volumes are split at random into two disjoint halves. One
    half is compared with the other (floor), with as many synthetic volumes and with as
    much noise. Intervals are of half-samples, too (the delete-half jackknife
    :footcite:p:`shao1989jackknife`), centred on the metric itself: a bootstrap draws
    volumes twice, and a volume that is its own neighbour biases these metrics.

    Parameters
    ----------
    real, synthetic, noise : array_like of shape (n, d), (m, d) and (l, d)
        Features of real volumes, preferably not those the extractor was fitted on; of
        synthetic ones; and of noise: of `noise_like`, or of decoded noise.
    metrics : dict of str to Metric, optional
        `METRICS` by default.
    repeats : int, optional
        Number of draws. With few, the intervals are uncertain.
    seed : int, optional
        Seed of the draws.

    Returns
    -------
    list of Comparison

    Raises
    ------
    InputError
        If numbers of features differ, or a cohort has fewer than four volumes.

    References
    ----------
    .. footbibliography::
    """
    if repeats < 1:
        raise InputError(f"{repeats} repeats: expected one or more")
    real = check_features(real, "real features", least=4)
    others = [
        check_features(features, f"{name} features", least=4, width=real.shape[1])
        for name, features in (("synthetic", synthetic), ("noise", noise))
    ]
    n = min(len(real), *map(len, others)) // 2
    rng = random_stream("comparison: draws", seed=seed)
    cohorts = real, *others
    # orders of rows, not rows: a hundred copies of a cohort are not kept
    orders = [[rng.permutation(len(rows)) for rows in cohorts] for _ in range(repeats)]
    metrics = METRICS if metrics is None else metrics
    return [
        _compare_one(name, metric, cohorts, orders, n)
        for name, metric in metrics.items()
    ]


def noise_like(volumes, n=None, *, seed=0):
    """Shuffle the voxels of real volumes, as a negative control.

    Parameters
    ----------
    volumes : array_like of shape (m, *shape)
        Real volumes.
    n : int, optional
        Number of noise volumes; by default that of the real ones.
    seed : int, optional
        Seed of the shuffling.

    Returns
    -------
    ndarray of shape (n, *shape), float32
        Each has the histogram of a real volume, without its structure.
    """
    volumes = check_volumes(volumes, "volumes")
    rng = random_stream("comparison: noise", seed=seed)
    shape, n = volumes.shape[1:], len(volumes) if n is None else n
    chosen = (volumes[i % len(volumes)].ravel() for i in range(n))
    return np.stack(
        [rng.permutation(v).astype("float32").reshape(shape) for v in chosen]
    )


def _of_draw(metric, cohorts, order, n):
    """Compute a metric on one draw.

    Returns its floor, matched value and ceiling, of n volumes on either side: the first
    half of the real ones with the other, the synthetic ones and noise; and its value on
    halves of the real and synthetic volumes.
    """
    real, synthetic, noise = (rows[kept] for rows, kept in zip(cohorts, order))
    sides = real[n : 2 * n], synthetic[:n], noise[:n]
    halves = (rows[: len(rows) // 2] for rows in (real, synthetic))
    return [*(metric.function(real[:n], x) for x in sides), metric.function(*halves)]


def _compare_one(name, metric, cohorts, orders, n):
    """Compute one metric on all volumes, and on draws of n."""
    real, synthetic, _ = cohorts
    width = real.shape[1]
    warnings = _too_few(name, metric, n, width)
    if n < metric.least:
        return Comparison(name, n=n, warnings=warnings)
    value = metric.function(real, synthetic)
    floors, matched, ceilings, halves = np.transpose(
        [_of_draw(metric, cohorts, order, n) for order in orders]
    )
    floor, ceiling = floors.mean(), ceilings.mean()
    span = math.nan if metric.two_sided else ceiling - floor
    if abs(span) <= 2 * floors.std():
        warnings += (
            f"{_label(name)}: its ceiling is {ceiling:.4g}, real against real "
            f"{floor:.4g}; it does not separate them here, so it is not normalised",
        )
        span = math.nan
    low, high = np.quantile(halves - halves.mean(), [0.025, 0.975])
    reach = np.array([min(low, 0), max(high, 0)])  # also where most halves are equal
    normalized = float((matched.mean() - floor) / span)
    return Comparison(
        name,
        float(value),
        tuple(float(edge) for edge in np.clip(_around(value, reach), *metric.bounds)),
        float(matched.mean()),
        float(floor),
        float(ceiling),
        normalized,
        _around(normalized, sorted(reach / span)),
        n,
        warnings,
    )


def _too_few(name, metric, n, width):
    """Describe where there are too few volumes: tuple of str."""
    if n < metric.least:
        return (
            f"{_label(name)}: {n} volumes on either side of its floor; expected "
            f"{metric.least} or more, twice as many in each cohort",
        )
    if n < metric.per_feature * width:
        return (
            f"{_label(name)}: {n} volumes in {width} dimensions are too few; expected "
            f"{metric.per_feature * width:g} or more, or fewer dimensions (by PCA on "
            "real volumes), or KID",
        )
    return ()


def _label(name):
    """Write the name of a metric for a reader: "FID", "power distance"."""
    words = name.upper() if len(name) == 3 else name.replace("_", " ")
    return words.replace("auc", "AUC").replace("vendi", "Vendi")


def _around(value, reach):
    return (float(value + reach[0]), float(value + reach[1]))
