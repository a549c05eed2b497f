"""Search for copies of training brains among synthetic ones.

A sample is suspect if its nearest training brain is nearer than those of held-out real
brains. All brains are similar, so differences from the mean training brain are
compared, over mirror images and small shifts. An audit is void if it does not find
copies planted among real brains (its positive control).
"""

from dataclasses import dataclass
from itertools import product
import math

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.spatial.distance import cdist
from scipy.stats import betabinom

from dipy_synth.metrics.array_checks import check_features, check_volumes, foreground
from dipy_synth.metrics.planted_copies import COPIES, plant_copies
from dipy_synth.utils.random import random_stream
from dipy_synth.utils.rows import stored_rows, total

FOUND = 0.95  # fraction of the planted copies that an audit must find


@dataclass(frozen=True)
class Neighbors:
    """The nearest training brain of each volume.

    Parameters
    ----------
    index : ndarray of shape (n,), int
        Number of the training brain.
    similarity : ndarray of shape (n,), float
        Its similarity; higher is nearer.
    flipped : ndarray of shape (n,), bool
        Whether the mirror image is the nearest.
    """

    index: np.ndarray
    similarity: np.ndarray
    flipped: np.ndarray


@dataclass(frozen=True)
class CopyAudit:
    """Result of an audit.

    Parameters
    ----------
    samples, held_out : Neighbors
        Nearest training brains of the samples, and of held-out real brains.
    threshold : float
        Similarity above which a volume is flagged.
    expected : float
        Expected fraction of flags among samples like held-out brains.
    flagged : ndarray of shape (n,), bool
        The flagged samples.
    p_value : float
        Probability of as many flags or more among samples like held-out brains.
    found : dict of str to float
        Kind of planted copy to the fraction that was flagged and matched with its
        original.
    planted : ndarray of shape (k,), float
        Similarity of all planted copies.
    """

    samples: Neighbors
    held_out: Neighbors
    threshold: float
    expected: float
    flagged: np.ndarray
    p_value: float
    found: dict
    planted: np.ndarray

    @property
    def copies(self):
        """Samples that are nearer to copies than to held-out brains: bool (n,).

        The border is half-way from the nearest held-out brain to the median copy.
        """
        ends = (self.held_out.similarity.max(), np.median(self.planted))
        return self.samples.similarity > np.mean(ends)

    @property
    def void(self):
        """Whether planted copies were missed, so that the audit has no result: bool."""
        return min(self.found.values()) < FOUND


class VoxelSearch:
    """Search of nearest training brains by voxels.

    The similarity is the correlation, over the voxels of the training brains, of the
    differences from the mean training brain; the maximum over mirror images and shifts.

    Parameters
    ----------
    train : array_like of shape (n, *shape)
        Training volumes in [0, 1]; the first axis is left-right, with the midline in
        its middle.
    factor : int, optional
        Voxels in a block that is averaged, along each axis.
    reach : int, optional
        Largest shift in voxels, along each axis.
    """

    def __init__(self, train, *, factor=3, reach=2):
        train = check_volumes(train, "training volumes", least=2)
        self.shape, self.factor, self.reach = train.shape[1:], factor, reach
        mean = self._smooth(total(train) / len(train))
        lattice = np.zeros(mean.shape, bool)
        lattice[(slice(reach, None, factor),) * lattice.ndim] = True
        self._inside = np.flatnonzero(lattice & foreground(mean))
        self._shifted = self._shifts()
        self._mean = mean.ravel()[self._inside]
        inside = (self._smooth(volume).ravel()[self._inside] for volume in train)
        rows = (self._standard(row[np.newaxis])[0] for row in inside)
        self._train = stored_rows(rows, len(train))

    def to_arrays(self):
        """Return its data of the training volumes, coarse and in float16: dict."""
        return {
            "shape": np.array(self.shape),
            "inside": self._inside.astype("int32"),
            "search_mean": self._mean.astype("float32"),
            "train": self._train.astype("float16"),
        }

    @classmethod
    def from_arrays(cls, arrays, *, factor, reach):
        """Build a search from the arrays of `to_arrays`, without training volumes."""
        search = cls.__new__(cls)
        search.shape = tuple(arrays["shape"].tolist())
        search.factor, search.reach = factor, reach
        search._inside = arrays["inside"].astype("int64")
        search._shifted = search._shifts()
        search._mean = arrays["search_mean"]
        search._train = arrays["train"].astype("float32")
        return search

    def _shifts(self):
        """Compute the source index of each voxel for every shift: (shifts, voxels)."""
        padded = [n + 2 * self.reach for n in self.shape]
        strides = [math.prod(padded[axis + 1 :]) for axis in range(len(padded))]
        steps = product(range(-self.reach, self.reach + 1), repeat=len(padded))
        return self._inside + (np.array([*steps]) @ np.array(strides))[:, np.newaxis]

    def __call__(self, volumes, *, subjects=None):
        """Find the nearest training brain: volumes (m, *shape) -> Neighbors.

        With `subjects` (m,), where the volumes are the training volumes in order, the
        nearest one of another subject is found.
        """
        volumes = check_volumes(volumes, "volumes", shape=self.shape)
        own = [[]] * len(volumes)
        if subjects is not None:
            subjects = np.asarray(subjects)
            own = [np.flatnonzero(subjects == subject) for subject in subjects]
        return _gather(self._nearest(v, without=i) for v, i in zip(volumes, own))

    def _nearest(self, volume, *, without):
        """Return (index, similarity, flipped) of one volume."""
        sides = [self._smooth(side).ravel() for side in _mirrored(volume)]
        moved = np.concatenate([side[self._shifted] for side in sides])
        similarity = self._standard(moved) @ self._train.T
        similarity[:, without] = -np.inf
        move, index = np.unravel_index(np.argmax(similarity), similarity.shape)
        flipped = move >= len(self._shifted)
        return int(index), float(similarity[move, index]), bool(flipped)

    def _smooth(self, volume):
        """Average blocks about every voxel; pad by the largest shift."""
        padded = np.pad(np.asarray(volume, "float32"), self.reach)
        return uniform_filter(padded, self.factor, mode="constant")

    def _standard(self, values):
        """Compute differences from the mean brain, each of mean 0 and length 1."""
        x = values - self._mean
        x -= x.mean(axis=1, keepdims=True)
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


class FeatureSearch:
    """Search of nearest training brains by features.

    The similarity is the negative Euclidean distance; the maximum over mirror images.

    Parameters
    ----------
    train : array_like of shape (n, *shape)
        Training volumes in [0, 1].
    extractor : callable
        Volumes (n, *shape) -> features (n, d), which small shifts hardly change.
    """

    def __init__(self, train, extractor):
        train = check_volumes(train, "training volumes", least=2)
        self.shape, self._extractor = train.shape[1:], extractor
        rows = (self._features(volume[np.newaxis])[0] for volume in train)
        self._train = stored_rows(rows, len(train))

    def __call__(self, volumes):
        """Find the nearest training brain: volumes (m, *shape) -> Neighbors."""
        volumes = check_volumes(volumes, "volumes", shape=self.shape)
        return _gather(self._nearest(volume) for volume in volumes)

    def _nearest(self, volume):
        """Return (index, similarity, flipped) of one volume."""
        apart = cdist(self._features(_mirrored(volume)), self._train)
        side, index = np.unravel_index(np.argmin(apart), apart.shape)
        return int(index), -float(apart[side, index]), bool(side)

    def _features(self, volumes):
        """Return the features of volumes, checked: ndarray of shape (n, d), float64."""
        return check_features(self._extractor(volumes), "features", least=1)


def audit_copies(samples, train, held_out, *, search=None, seed=0):
    """Search for copies of training brains among samples.

    The threshold is the k-th largest similarity of the held-out brains, with k the
    largest for which no more than 5 % of volumes like them are flagged, that is
    k / (h + 1) of h held-out brains, and k at least 1. The number of flags of m such
    volumes then follows a beta-binomial distribution, since h brains leave the rate of
    the binomial one uncertain.

    Parameters
    ----------
    samples : array_like of shape (m, *shape)
        Synthetic volumes in [0, 1].
    train : array_like of shape (n, *shape)
        The volumes that the model was trained on.
    held_out : array_like of shape (h, *shape)
        Held-out real volumes, prepared in the same way.
    search : callable, optional
        Volumes (m, *shape) -> `Neighbors` in `train`; `VoxelSearch` by default.
    seed : int, optional
        Seed of the planted copies.

    Returns
    -------
    CopyAudit

    Raises
    ------
    InputError
        If a cohort is empty, on another grid, or not finite.
    """
    train = check_volumes(train, "training volumes", least=2)
    shape = train.shape[1:]
    samples = check_volumes(samples, "samples", shape=shape)
    held_out = check_volumes(held_out, "held-out volumes", shape=shape)
    search = VoxelSearch(train) if search is None else search
    real, found = search(held_out), search(samples)
    n = len(held_out)
    threshold, k = copy_threshold(real.similarity)
    flagged = found.similarity > threshold
    share, planted = _control(search, train, threshold, seed)
    return CopyAudit(
        samples=found,
        held_out=real,
        threshold=threshold,
        expected=k / (n + 1),
        flagged=flagged,
        p_value=float(betabinom.sf(flagged.sum() - 1, len(samples), k, n + 1 - k)),
        found=share,
        planted=planted,
    )


def copy_threshold(similarity, *, alpha=0.05):
    """Compute the similarity above which a volume is flagged, and k.

    It is the k-th largest similarity of held-out real brains to their nearest training
    brains, with the largest k for which k / (h + 1), the fraction flagged by chance, is
    at most `alpha`, and k at least 1.
    """
    k = max(int(alpha * (len(similarity) + 1)), 1)
    return float(np.sort(similarity)[-k]), k


def _control(search, train, threshold, seed, most=20):
    """Search for planted copies of some training brains.

    Returns kind to the fraction that is found, and the similarity of all.
    """
    rng = random_stream("copies: chosen", seed=seed)
    chosen = rng.permutation(len(train))[:most]
    found, planted = {}, []
    for kind in COPIES:
        nearest = search(plant_copies(train[chosen], kind, seed=seed))
        hit = (nearest.similarity > threshold) & (nearest.index == chosen)
        found[kind] = float(hit.mean())
        planted.append(nearest.similarity)
    return found, np.concatenate(planted)


def _mirrored(volume):
    """Stack a volume and its mirror image: ndarray of shape (2, *shape), float32."""
    volume = np.asarray(volume, "float32")
    return np.stack([volume, volume[::-1]])


def _gather(nearest):
    """Collect (index, similarity, flipped) of each volume in arrays."""
    index, similarity, flipped = zip(*nearest)
    return Neighbors(np.array(index), np.array(similarity), np.array(flipped))
