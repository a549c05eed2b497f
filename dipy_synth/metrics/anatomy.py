"""Anatomical metrics of a volume, to compare with those of real brains."""

import numpy as np
from scipy import ndimage

from dipy_synth.data.arrays import as_volume
from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import correlation, foreground
from dipy_synth.metrics.parcellation import grey_matter_by_region
from dipy_synth.metrics.sharpness import high_frequency_power, white_matter_detail
from dipy_synth.utils.random import random_stream

TISSUES = ("csf", "grey", "white")  # labels 1, 2, 3
# The ventricles' ellipsoid in MNI space: centre and semi-axes, in mm.
_CENTER, _AXES = (0.0, -14.0, 9.0), (38.0, 52.0, 24.0)
_NOISE = 1e-3  # intensity of the background in the classifier
_NEAR = 6.0  # mm of fluid from the outside
# Of the classifier: the weight of a voxel's neighbours. On brains at 2 mm ten
# iterations take 2 s; volumes correlate by 0.97 (fluid) to 1.00 (grey) with those of
# twenty.
_BETA, _ITERATIONS = 0.1, 10


def largest_component_share(volume):
    """Compute the fraction of the foreground in its largest connected component."""
    labels, n = ndimage.label(foreground(volume))
    counts = np.bincount(labels.ravel(), minlength=2)[1:]
    return float(counts.max() / counts.sum()) if n else 0.0


def brain_volume(volume, *, voxel_size):
    """Compute the volume of the foreground, in mL: float."""
    return float(np.count_nonzero(foreground(volume)) * np.prod(voxel_size) / 1000)


def symmetry(volume):
    """Compute the correlation of a volume with its left-right mirror image: float.

    The midline of the brain is in the middle of the first axis, as on a `Grid` whose
    centre has x = 0.
    """
    volume = as_volume(volume)
    return correlation(volume, volume[::-1])


def segment_tissues(volume):
    """Segment fluid, grey and white matter with DIPY's tissue classifier.

    It fits a hidden Markov random field :footcite:p:`zhang2001hmrf`.

    Parameters
    ----------
    volume : array of shape (I, J, K)
        A skull-stripped T1 volume in [0, 1], the background 0.

    Returns
    -------
    ndarray of shape (I, J, K), uint8
        0 background, 1 fluid, 2 grey, 3 white; all 0 where the volume has fewer than
        four different values. Where there is hardly any fluid (as in phantoms at
        4 mm) the classifier may merge tissues: check that all three are present.

    References
    ----------
    .. footbibliography::
    """
    return _classify(volume)[0]


def tissue_probabilities(volume):
    """Compute the probabilities of fluid, grey and white matter at each voxel.

    Parameters
    ----------
    volume : array of shape (I, J, K)
        As of `segment_tissues`.

    Returns
    -------
    ndarray of shape (3, I, J, K), float32
        Fluid, grey and white; their sum is 1 in the foreground, 0 elsewhere and where
        the volume has fewer than four different values.
    """
    labels, found = _classify(volume)
    inside, total = labels > 0, found.sum(axis=0)
    known = inside & (total > 0)
    found = np.where(known, found / np.where(known, total, 1), 0)
    for number in range(len(TISSUES)):  # where the classifier has no answer
        found[number][inside & ~known] = labels[inside & ~known] == number + 1
    return found.astype("float32")


def _classify(volume):
    """Run DIPY's classifier in the box of the brain: labels, probabilities (3, ...)."""
    from dipy.segment.tissue import TissueClassifierHMRF

    volume = as_volume(volume)
    volume = np.where(foreground(volume), volume, 0).astype("float64")
    labels = np.zeros(volume.shape, "uint8")
    probabilities = np.zeros((len(TISSUES), *volume.shape))
    if len(np.unique(volume)) < 4:
        return labels, probabilities
    # in a box, since the time grows with the background
    (box,) = ndimage.find_objects((volume > 0).astype("uint8"))
    box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
    image, inside = volume[box], volume[box] > 0
    # what the classifier puts in place of exact zeros, but the same in every run
    rng = random_stream("anatomy: background", seed=0)
    noise = rng.normal(_NOISE, _NOISE / 10, image.shape)
    image = np.where(inside, image, noise)
    classifier = TissueClassifierHMRF(verbose=False)
    with np.errstate(all="ignore"):  # a class may become empty in noise
        _, found, shares = classifier.classify(
            image, len(TISSUES), _BETA, max_iter=_ITERATIONS, tolerance=0
        )
    labels[box] = np.where(inside, np.maximum(found, 1), 0)
    shares = np.nan_to_num(shares, posinf=0, neginf=0).clip(0)
    probabilities[(slice(None), *box)] = np.where(inside, np.moveaxis(shares, -1, 0), 0)
    return labels, probabilities


def tissue_volumes(labels, *, voxel_size):
    """Compute the volume, in mL, of each of `TISSUES` in labels: dict."""
    counts = np.bincount(np.ravel(labels), minlength=4)[1:4]
    return {
        name: float(count * np.prod(voxel_size) / 1000)
        for name, count in zip(TISSUES, counts)
    }


def ventricle_volume(labels, *, grid):
    """Estimate the volume of the ventricles, by a simple rule.

    Fluid counts that lies in an ellipsoid in MNI space, about (0, -14, 9) with
    semi-axes of 38, 52 and 24 mm, unless a path of 6 mm through fluid leads out of it:
    so sulci that reach in do not count. It is a metric to compare cohorts by, not a
    segmentation: cisterns about the thalamus count, too.

    Parameters
    ----------
    labels : array of shape (I, J, K), int
        Labels of `segment_tissues`.
    grid : Grid
        The grid of the labels. The brain is aligned to MNI152.

    Returns
    -------
    float
        In mL.
    """
    axes = [
        (np.arange(n) - (n - 1) / 2) * size + middle
        for n, size, middle in zip(grid.shape, grid.voxel_size, grid.center)
    ]
    points = np.meshgrid(*axes, indexing="ij", sparse=True)
    radius = sum(((p - c) / a) ** 2 for p, c, a in zip(points, _CENTER, _AXES))
    labels = np.asarray(labels)
    if labels.shape != grid.shape:
        raise InputError(f"labels {labels.shape}: expected the grid's {grid.shape}")
    inside, fluid = radius <= 1, labels < 2
    reach = max(round(_NEAR / min(grid.voxel_size)), 1)
    near = ndimage.binary_dilation(fluid & ~inside, iterations=reach, mask=fluid)
    found = (labels == 1) & inside & ~near
    return float(np.count_nonzero(found) * np.prod(grid.voxel_size) / 1000)


def describe_brain(volume, *, grid, mean, power, tissues=True):
    """Compute all metrics of one volume.

    Parameters
    ----------
    volume : array of shape (I, J, K)
        A skull-stripped T1 volume in [0, 1], the background 0.
    grid : Grid
        Its grid.
    mean : array of shape (I, J, K)
        The mean (or the sum) of real brains.
    power : float
        Mean high-frequency power of real brains.
    tissues : bool, optional
        Segment the tissues, too, which takes most of the time.

    Returns
    -------
    dict of str to float
        ``largest_share``, ``brain_ml``, ``symmetry``, ``similarity`` (correlation with
        the mean), ``sharpness`` (high-frequency power over that of real brains),
        ``white_detail`` (fine detail of white matter, of that of the brain); with
        `tissues` ``csf_share``, ``grey_share``, ``white_share`` of the brain,
        ``ventricles_ml``, and grey matter by region, such as ``frontal_grey_ml``.
    """
    volume = as_volume(volume).astype("float32", copy=False)
    metrics = {
        "largest_share": largest_component_share(volume),
        "brain_ml": brain_volume(volume, voxel_size=grid.voxel_size),
        "symmetry": symmetry(volume),
        "similarity": correlation(volume, mean),
        "sharpness": high_frequency_power(volume) / power,
        "white_detail": white_matter_detail(volume, mean),
    }
    if not tissues:
        return metrics
    labels = segment_tissues(volume)
    parts = tissue_volumes(labels, voxel_size=grid.voxel_size)
    whole = sum(parts.values())
    shares = {f"{k}_share": v / whole if whole else 0.0 for k, v in parts.items()}
    ventricles = {"ventricles_ml": ventricle_volume(labels, grid=grid)}
    return metrics | shares | ventricles | grey_matter_by_region(labels, grid=grid)
