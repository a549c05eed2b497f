"""Texture of the cortex: features of small blocks, and their Fréchet distance.

Each brain is divided into blocks of 16 mm, in the shell that holds the cortex and in
the deep parts. Features of a block need no network: first-order statistics, grey-
level co-occurrence, energies of Haar wavelets and of a Laplacian pyramid, and the
anisotropy of edges, which is high in folds and low in blotches. A volume is then a
row of the means and second moments of its blocks' features, from which the pooled mean
and covariance of any cohort follow: their Fréchet distance :footcite:p:`konz2024frd`
needs no more.

References
----------
.. footbibliography::
"""

import numpy as np
from scipy import ndimage

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_features
from dipy_synth.metrics.distribution import frechet_distance

REGIONS = ("cortex", "deep")
LEVELS = 16  # grey levels of co-occurrence, from 0 to 1
_BLOCK = 16.0  # mm
_FULL = 0.3  # least fraction of a block in the region
_STEPS = (1, 2)  # voxels between the two of a pair
_EPS = 1e-6  # of squared intensities, below which there is no texture

#: Features of a block, in their order.
FEATURES = (
    ("mean", "sd", "skewness", "kurtosis")
    + tuple(
        f"glcm_{name}_{step}"
        for step in _STEPS
        for name in ("contrast", "homogeneity", "energy", "entropy", "correlation")
    )
    + tuple(f"haar_{level}_{axes}" for level in _STEPS for axes in (1, 2, 3))
    + tuple(f"laplacian_{name}_{s}" for s in _STEPS for name in ("energy", "sparsity"))
    + ("anisotropy",)
)


def texture_moments(brain):
    """Compute the moments of the texture features of a `Brain`'s blocks: float64.

    For cortex, then deep: means of the d `FEATURES` over blocks, and the upper triangle
    of their second moments; 0 where there is no block.
    """
    found = block_features(brain)
    return np.concatenate([block_moments(found[region]) for region in REGIONS])


def block_features(brain):
    """Compute the features of each block.

    Parameters
    ----------
    brain : Brain
        A result of `dipy_synth.metrics.regions.cut_brain`.

    Returns
    -------
    dict of str to ndarray of shape (blocks, d), float64
        "cortex" and "deep" to the `FEATURES` of their blocks; a block with less than
        0.3 of its voxels in the region is left out. Variances and energies are
        logarithms.
    """
    labels, region, n = _blocks((brain.cortex, brain.deep), brain.voxel_size)
    inside = labels >= 0
    where = labels[inside]
    counts = np.maximum(np.bincount(where, minlength=n), 1)

    def average(values):
        return np.bincount(where, weights=values, minlength=n) / counts

    columns = _first_order(brain.values[inside], where, average)
    levels = np.clip(brain.values * LEVELS, 0, LEVELS - 1).astype("int32")
    for step in _STEPS:
        columns += cooccurrence(levels, labels, n, step)
    means = {name: average(x[inside]) for name, x in _maps(brain.values)}
    energies = (f"haar_{level}_{k}" for level in _STEPS for k in (1, 2, 3))
    columns += [np.log(means[name] + _EPS) for name in energies]
    for level in _STEPS:
        square = means[f"square_{level}"] + _EPS
        columns += [np.log(square), means[f"absolute_{level}"] / np.sqrt(square)]
    features = np.stack([*columns, means["anisotropy"]], axis=1)
    return {name: features[region == i] for i, name in enumerate(REGIONS)}


def texture_distance(real, synthetic, *, region="cortex"):
    """Compute the Fréchet distance of block features: of Gaussians fitted to them.

    Features are standardised by the mean and standard deviation of the real blocks.
    Covariances are shrunk towards a multiple of the identity
    (:footcite:p:`chen2010shrinkage`, eq. 23), with the number of volumes, since blocks
    of one brain are similar. All volumes have equal weight.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, k) and (m, k)
        Moments of each volume, of `texture_moments`.
    region : {"cortex", "deep"}, optional

    Returns
    -------
    float
        In squared standard deviations of real blocks, summed over features.

    References
    ----------
    .. footbibliography::
    """
    mean, covariance = pooled_moments(real, region)
    other_mean, other = pooled_moments(synthetic, region)
    scale = np.sqrt(np.maximum(np.diag(covariance), _EPS))
    apart = (other_mean - mean) / scale
    shrunk = [
        shrink(c / np.outer(scale, scale), len(rows))
        for c, rows in ((covariance, real), (other, synthetic))
    ]
    return frechet_distance(np.zeros_like(apart), shrunk[0], apart, shrunk[1])


def pooled_moments(rows, region="cortex"):
    """Compute mean (d,) and covariance (d, d) of the block features of a cohort.

    `rows` are `texture_moments` of each volume.
    """
    d = len(FEATURES)
    means, seconds = volume_moments(rows, region)
    mean = means.mean(axis=0)
    full = np.zeros((d, d))
    full[np.triu_indices(d)] = seconds.mean(axis=0)
    full += np.triu(full, 1).T
    return mean, full - np.outer(mean, mean)


def volume_moments(rows, region="cortex"):
    """Split rows of `texture_moments` into the moments of a region, cortex or deep.

    They are means (n, d), and the upper triangle of second moments (n, d * (d + 1) /
    2).
    """
    d = len(FEATURES)
    half = d + d * (d + 1) // 2
    rows = check_features(rows, "texture", least=1, width=half * len(REGIONS))
    if region not in REGIONS:
        raise InputError(f"region {region!r}: expected {' or '.join(REGIONS)}")
    start = half * REGIONS.index(region)
    return rows[:, start : start + d], rows[:, start + d : start + half]


def shrink(covariance, n):
    """Shrink a covariance of n samples towards a multiple of the identity.

    The trace is kept (OAS: :footcite:p:`chen2010shrinkage`, eq. 23).

    References
    ----------
    .. footbibliography::
    """
    covariance = np.asarray(covariance, float)
    d, trace = len(covariance), np.trace(covariance)
    square = np.sum(covariance**2)
    least = square - trace**2 / d
    if least <= 0:
        return covariance
    share = ((1 - 2 / d) * square + trace**2) / ((n + 1 - 2 / d) * least)
    share = min(share, 1.0)
    return (1 - share) * covariance + share * trace / d * np.eye(d)


def _maps(values):
    """Yield the features of voxels that blocks average: name and (I, J, K)."""
    low = values
    for level in _STEPS:
        low, details = _haar(low, level)
        yield from ((f"haar_{level}_{k}", x) for k, x in enumerate(details, start=1))
    low = values
    for level in _STEPS:
        smooth = ndimage.gaussian_filter(values, level, truncate=2.5)
        yield f"square_{level}", (low - smooth) ** 2
        yield f"absolute_{level}", np.abs(low - smooth)
        low = smooth
    yield "anisotropy", anisotropy(values)


def _haar(values, step):
    """Filter by undecimated Haar wavelets, `step` voxels apart.

    Returns the low-pass part, and the squared details that are high-pass along one,
    two and three axes.
    """
    parts = [(0, values)]
    for axis in range(3):
        split = []
        for high, part in parts:
            other = np.roll(part, -step, axis)
            split += [(high, (part + other) / 2), (high + 1, (part - other) / 2)]
        parts = split
    details = [sum(part**2 for high, part in parts if high == k) for k in (1, 2, 3)]
    return parts[0][1], details


def anisotropy(values, size=5):
    """Compute the anisotropy of gradients near a voxel: 0 isotropic, 1 parallel.

    The fractional anisotropy, squared, of the structure tensor: by its trace and
    norm, which need no eigenvalues.
    """
    gradients = np.gradient(values)
    trace, norm = 0.0, 0.0
    for i in range(3):
        for j in range(i, 3):
            part = ndimage.uniform_filter(gradients[i] * gradients[j], size)
            trace = trace + part if i == j else trace
            norm = norm + (1 if i == j else 2) * part**2
    return 1.5 * (norm - trace**2 / 3) / (norm + _EPS**2)


def _blocks(regions, voxel_size):
    """Number the blocks of several regions.

    Returns the number of the block at each voxel, -1 elsewhere; the region of each
    block; and the number of blocks.
    """
    edge = [max(round(_BLOCK / size), 2) for size in voxel_size]
    places = [np.arange(n) // e for n, e in zip(regions[0].shape, edge)]
    counts = [int(p[-1]) + 1 for p in places]
    labels = np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), counts)
    per, codes = int(np.prod(counts)), np.full(labels.shape, -1)
    for i, mask in enumerate(regions):
        codes[mask] = labels[mask] + i * per
    sizes = np.bincount(codes[codes >= 0], minlength=per * len(regions))
    full = sizes >= _FULL * np.prod(edge)
    numbers = np.append(np.where(full, np.cumsum(full) - 1, -1), -1)
    return numbers[codes], np.flatnonzero(full) // per, int(full.sum())


def _first_order(values, where, average):
    """Compute mean, log SD, skewness and log kurtosis in blocks: list of ndarray."""
    mean = average(values)
    apart = values - mean[where]
    square = apart**2
    variance = average(square) + _EPS
    skewness = average(square * apart) / variance**1.5
    kurtosis = average(square**2) / variance**2
    return [mean, np.log(variance) / 2, skewness, np.log(kurtosis + 1)]


def cooccurrence(levels, labels, n, step):
    """Compute features of grey-level co-occurrence in blocks: list of ndarray.

    After :footcite:t:`haralick1973texture`: pairs along the three axes, both ways,
    `step` voxels apart, the second in any block.

    References
    ----------
    .. footbibliography::
    """
    joint = np.zeros(n * LEVELS**2)
    for axis in range(3):
        other, beside = (np.roll(x, -step, axis) for x in (levels, labels))
        pair = (labels >= 0) & (beside >= 0)
        code = (labels[pair] * LEVELS + levels[pair]) * LEVELS + other[pair]
        joint += np.bincount(code, minlength=len(joint))
    joint = joint.reshape(n, LEVELS, LEVELS)
    joint = joint + joint.transpose(0, 2, 1)
    joint /= np.maximum(joint.sum(axis=(1, 2), keepdims=True), 1)
    i, j = np.meshgrid(np.arange(LEVELS), np.arange(LEVELS), indexing="ij")
    mean = (joint * i).sum(axis=(1, 2))
    variance = (joint * i**2).sum(axis=(1, 2)) - mean**2
    contrast = (joint * (i - j) ** 2).sum(axis=(1, 2))
    entropy = -np.sum(joint * np.log(np.maximum(joint, 1e-12)), axis=(1, 2))
    return [
        np.log(contrast + 0.01),
        (joint / (1 + np.abs(i - j))).sum(axis=(1, 2)),
        np.log((joint**2).sum(axis=(1, 2)) + _EPS) / 2,
        entropy,
        1 - contrast / (2 * variance + 0.01),
    ]


def block_moments(features):
    """Return means and the upper triangle of second moments: ndarray."""
    n, d = features.shape
    second = features.T @ features
    return np.concatenate([features.sum(axis=0), second[np.triu_indices(d)]]) / max(
        n, 1
    )
