"""What a predictor can learn from brains: their age, and their labels.

A task knows the real brains that it is tested on, and a pool to train on: real training
brains first, then synthetic ones. It measures predictors trained on chosen rows of the
pool, brain by brain.
"""

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.evaluation.extractors import voxels_in
from dipy_synth.metrics.array_checks import block_mean, foreground
from dipy_synth.metrics.conditioning import RidgePredictor
from dipy_synth.metrics.segmentation import VoxelClassifier, dice, voxel_features
from dipy_synth.utils.cells import column_number
from dipy_synth.utils.random import random_stream

LEAST = 10  # brains of a cohort
BLOCK = 8.0  # mm, of a voxel for age
DRAWN = 200  # training voxels of a brain, of each label and of none


class AgeTask:
    """Predict age by ridge regression on voxels of about 8 mm.

    Parameters
    ----------
    real, synthetic, train : Volumes
        Cohorts with a column ``age``; brains without an age are left out.

    Raises
    ------
    InputError
        If fewer than 10 brains of a cohort have an age, or all have the same.
    """

    metric, higher_is_better = "age_mae", False

    def __init__(self, real, synthetic, train, *, seed=0):
        self.check(real, synthetic, train)
        self._features, self._ages = zip(*map(_with_age, (real, train, synthetic)))
        self.n, self.known, self.made = map(len, self._ages)

    @staticmethod
    def check(*cohorts):
        """Refuse cohorts of whose ages nothing can be learned."""
        for side in cohorts:
            _, ages = _ages(side)
            if len(ages) < LEAST:
                raise InputError(
                    f"{side.name}: {len(ages)} brains with an age; expected {LEAST} or "
                    "more for downstream"
                )
            if len(set(ages)) < 2:
                raise InputError(
                    f"{side.name}: all brains have the age {ages[0]:g}; expected "
                    "different ages for downstream"
                )

    @property
    def baseline(self):
        """Error of the mean age of the real training brains, in years: float."""
        return float(np.abs(self._ages[1].mean() - self._ages[0]).mean())

    def measure(self, choices):
        """Train on each of several choices of rows, and test on all held-out brains.

        Returns the absolute errors, ndarray of shape (choices, n), in years.
        """
        pool = [np.concatenate(part[1:]) for part in (self._features, self._ages)]
        read = [
            RidgePredictor(*(part[rows] for part in pool))(self._features[0])
            for rows in choices
        ]
        return np.abs(read - self._ages[0])


class LabelTask:
    """Segment the labels of label maps, voxel by voxel.

    See `dipy_synth.metrics.segmentation`: quick, and trained on few brains.

    Parameters
    ----------
    real, synthetic, train : Volumes
        Cohorts with label maps; brains without one are left out. Labels are matched by
        name.
    seed : int, optional
        Seed of the voxels that are drawn for training.

    Raises
    ------
    InputError
        If fewer than 10 brains of a cohort have a label map, or no label is in all.
    """

    metric, higher_is_better, baseline = "labels_dice", True, None

    def __init__(self, real, synthetic, train, *, seed=0):
        self.check(real, synthetic, train)
        self._names = _shared_names(real, synthetic, train)
        self._test = [(real, i) for i in real.label_maps.known]
        self._test = [one for one in self._test if self._map(*one).any()]
        if not self._test:
            raise InputError(
                f"{real.name}: no voxel of a label that is in all cohorts; expected "
                "some for downstream"
            )
        pool = [(side, i) for side in (train, synthetic) for i in side.label_maps.known]
        self.n, self.known = len(self._test), len(train.label_maps.known)
        self.made = len(pool) - self.known
        rng = random_stream("evaluation: downstream voxels", seed=seed)
        self._pool = [self._draw(side, i, rng) for side, i in pool]

    @staticmethod
    def check(*cohorts):
        """Refuse cohorts of whose label maps nothing can be learned."""
        for side in cohorts:
            n = 0 if side.label_maps is None else len(side.label_maps.known)
            if n < LEAST:
                raise InputError(
                    f"{side.name}: {n} brains with a label map; expected {LEAST} or "
                    "more for downstream"
                )
        if not _shared_names(*cohorts):
            raise InputError(
                f"{', '.join(side.name for side in cohorts)}: no label has one name in "
                "all; expected one or more for downstream"
            )

    def measure(self, choices):
        """Train on each of several choices of rows, and test on all held-out brains.

        Returns the mean Dice of the labels that a brain has, ndarray of shape (choices,
        n).
        """
        models = [
            VoxelClassifier(*zip(*(self._pool[row] for row in rows)))
            for rows in choices
        ]
        found = [self._dice(models, side, i) for side, i in self._test]
        return np.transpose(found)

    def _map(self, side, i):
        """Return the labels of a volume by their place in the names, 0 is none."""
        maps, there = side.label_maps.read(i, side.grid), np.zeros(side.grid.shape, int)
        for value, name in side.label_maps.names.items():
            if name in self._names:
                there[maps == value] = 1 + self._names.index(name)
        return there

    def _draw(self, side, i, rng):
        """Draw voxels of a brain: features, labels and shares of all labels."""
        features, labels = self._voxels(side, i)
        counts = np.bincount(labels, minlength=1 + len(self._names))
        kept = [
            rng.permutation(np.flatnonzero(labels == label))[:DRAWN]
            for label in range(len(counts))
        ]
        kept = np.concatenate(kept)
        return features[kept], labels[kept], counts / counts.sum()

    def _voxels(self, side, i):
        """Return the features (n, d) and labels (n,) of the voxels of a brain."""
        volume, labels = np.asarray(side.volumes[i], "float32"), self._map(side, i)
        there = foreground(volume) | (labels > 0)
        return voxel_features(volume, there, side.grid.voxel_size), labels[there]

    def _dice(self, models, side, i):
        """Return the mean Dice of each model on one brain: list of float."""
        features, labels = self._voxels(side, i)
        there = np.unique(labels[labels > 0])
        read = [model(features) for model in models]
        return [np.mean([dice(labels == k, one == k) for k in there]) for one in read]


def _ages(side):
    """Return the places of the volumes whose age is known, and the ages."""
    ages = [column_number("age", value) for value in side.column("age")]
    there = [i for i, age in enumerate(ages) if age is not None]
    return there, np.array([ages[i] for i in there], "float64")


def _with_age(side):
    """Return coarse voxels (n, d) of the volumes whose age is known, and the ages."""
    there, ages = _ages(side)
    factor = voxels_in(BLOCK, side.grid)
    coarse = [
        block_mean(np.asarray(side.volumes[i], "float32")[None], factor).ravel()
        for i in there
    ]
    return np.stack(coarse), ages


def _shared_names(*cohorts):
    """Return the names of labels that all cohorts have: list of str."""
    named = [set(side.label_maps.names.values()) for side in cohorts]
    return sorted(set.intersection(*named))
