"""Statistics of each volume, computed once for all metrics of intensity and texture."""

from functools import partial
from typing import NamedTuple

import numpy as np

from dipy_synth.metrics.histograms import intensity_histogram
from dipy_synth.metrics.regions import cut_brain
from dipy_synth.metrics.spectrum import band_power
from dipy_synth.metrics.texture import texture_moments


class Description(NamedTuple):
    """Statistics of a cohort for its metrics: one row per volume, a few kB each.

    Parameters
    ----------
    power : ndarray of shape (n, 4), float64
        As `dipy_synth.metrics.spectrum.band_power`.
    histogram : ndarray of shape (n, bins), float64
        As `dipy_synth.metrics.histograms.intensity_histogram`.
    texture : ndarray of shape (n, k), float64
        As `dipy_synth.metrics.texture.texture_moments`.
    """

    power: np.ndarray
    histogram: np.ndarray
    texture: np.ndarray


def describe(volumes, *, voxel_size, function=None, each=map):
    """Compute the statistics of a cohort, one volume at a time.

    Parameters
    ----------
    volumes : iterable of array of shape (n, I, J, K)
        Skull-stripped volumes in [0, 1], the background 0. They may be on different
        grids of one voxel size.
    voxel_size : tuple of float, (3,)
        In mm.
    function : callable, optional
        ``(item, *, voxel_size) -> Description`` of an item of `volumes`;
        `describe_volume` by default.
    each : callable, optional
        Map, as the builtin: ``(function, volumes) -> iterable``, for instance a
        parallel one, or one with a progress bar.

    Returns
    -------
    Description
    """
    function = describe_volume if function is None else function
    rows = [*each(partial(function, voxel_size=tuple(voxel_size)), volumes)]
    return Description(*(np.stack(column) for column in zip(*rows, strict=True)))


def describe_volume(volume, *, voxel_size):
    """Compute the statistics of one volume, in 0.5 s for 80 x 96 x 80 voxels."""
    brain = cut_brain(volume, voxel_size=voxel_size)
    return Description(
        band_power(brain), intensity_histogram(brain), texture_moments(brain)
    )
