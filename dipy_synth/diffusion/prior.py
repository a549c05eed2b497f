"""What is known of latents through deep noise, in closed form.

The size of a brain, and what else all of its latent voxels tell together, shows through
noise that hides everything else, and is settled there. To a network that noise is
almost all of its error, whatever it answers: it learns little of it, and its samples
gather about the mean. Yet in deep noise the best answer is hardly other than that of a
Gaussian distribution, which needs no training.
"""

import numpy as np

_FOLDS = 5
_IMAGES = 512  # of the training set, from which the prior is fitted
_HOLDS = 0.15  # share of its variance that a component keeps on unseen images
_FLOOR = 1e-6


class GaussianPrior:
    """A Gaussian distribution of latents along the few axes where they vary most.

    The coordinates and the conditions are taken to be jointly Gaussian, so that
    conditions, or some of them, move the mean.

    Parameters
    ----------
    axes : array (k, *latent_shape)
        Orthonormal axes. Latents are normalised: their mean is 0.
    mean : array (k + f,)
        Mean of coordinates and conditions, where categories are as many conditions as
        there are names.
    covariance : array (k + f, k + f)
        Their covariance.
    categories : sequence of int
        Number of categories of each condition, 0 for a number.
    begin : float or array (k,), optional
        Noise over signal, as a multiple of the standard deviation along an axis, from
        which on the prior answers for it; None or infinite where it never does.

    References
    ----------
    Wang & Vastola (2024). The unreasonable effectiveness of Gaussian score
    approximation for diffusion models and its applications. TMLR.
    """

    def __init__(self, axes, mean, covariance, categories=(), *, begin=0.1):
        self.axes = np.asarray(axes, "float32")
        self.mean = np.asarray(mean, "float64")
        self.covariance = np.asarray(covariance, "float64")
        self.categories = tuple(categories)
        self.begin = np.full(len(self.axes), np.inf)
        self.begin[:] = [np.inf if b is None else b for b in np.atleast_1d(begin)]

    def to_config(self):
        """Give all but the axes, for JSON."""
        return {
            "mean": self.mean.tolist(),
            "covariance": self.covariance.tolist(),
            "categories": list(self.categories),
            "begin": [float(b) if np.isfinite(b) else None for b in self.begin],
        }

    @classmethod
    def fit(
        cls,
        latents,
        conditions,
        *,
        normalizer=None,
        categories=(),
        subjects=None,
        most=6,
    ):
        """Measure the latents of a training set.

        Few images of many numbers vary along their own axes more than other images do.
        So variances are those of images that were left out when the axes were found,
        and axes that hardly hold on them are dropped.

        Parameters
        ----------
        latents : array (n, *latent_shape)
            Latents; may be memory-mapped.
        conditions : array (n, n_conditions)
            Encoded conditions; NaN where missing.
        normalizer : LatentNormalizer, optional
            What gives latents a mean of 0; None when they have it already.
        categories : sequence of int, optional
            Number of categories of each condition, 0 for a number.
        subjects : sequence of str (n,), optional
            Whose latents they are, scan by scan and view by view; each of another
            subject by default.
        most : int, optional
            Axes at most.

        Returns
        -------
        GaussianPrior or None
            None where no axis holds on images that were left out.
        """
        subject = np.arange(len(latents))
        if subjects is not None:
            subject = np.unique(subjects, return_inverse=True)[1]
        there = subject.max() + 1
        at_most = max(1, _IMAGES * there // len(latents))
        some = np.unique(np.linspace(0, there - 1, at_most).astype(int))
        rows = np.flatnonzero(np.isin(subject, some))
        latents, conditions = np.asarray(latents[rows], "float32"), conditions[rows]
        if normalizer is not None:
            latents = normalizer.normalize(latents)
        flat = latents.reshape(len(latents), -1)
        gram = (flat @ flat.T).astype("float64")
        kept = _kept_variance(gram, np.searchsorted(some, subject[rows]), most)
        k = int(np.argmin(np.append(kept, 0) > _HOLDS))  # the first that does not hold
        if not k:
            return None
        axes = _axes(gram, k).T @ flat
        joint = np.hstack([flat @ axes.T, _features(conditions, categories)])
        mean, covariance = _moments(joint)
        scale = np.ones(len(mean))
        scale[:k] = np.sqrt(kept[:k])
        return cls(
            axes.reshape(k, *latents.shape[1:]),
            mean,
            covariance * np.outer(scale, scale),
            categories,
        )

    def spread(self):
        """Give the standard deviation along each axis, ndarray (k,)."""
        return np.sqrt(np.diag(self.covariance)[: len(self.axes)])

    def coordinates(self, latents):
        """Give where latents (n, *latent_shape) lie along the axes: (n, k)."""
        flat = np.asarray(latents).reshape(len(latents), -1)
        return flat @ self.axes.reshape(len(self.axes), -1).T

    def expected(self, x_t, t, schedule, conditions):
        """Give the expected coordinates of the image, given its state.

        Parameters
        ----------
        x_t : array (n, *latent_shape)
            States at time t.
        t : float
            The time.
        schedule : Schedule
            Gives alpha and sigma.
        conditions : array (n, n_conditions)
            Encoded conditions; NaN where they are open.

        Returns
        -------
        ndarray (n, k)
        """
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        seen = self.coordinates(x_t)
        answers = np.empty_like(seen)
        features = _features(conditions, self.categories)
        for rows in _alike(features):
            mean, covariance = self._given(features[rows[0]])
            noisy = alpha**2 * covariance + sigma**2 * np.eye(len(mean))
            gain = alpha * np.linalg.solve(noisy, covariance)
            answers[rows] = mean + (seen[rows] - alpha * mean) @ gain
        return answers

    def correct(self, x0, x_t, t, schedule, conditions, *, guidance=1.0):
        """Put what is expected along the axes, in deep noise, into expected images.

        Parameters
        ----------
        x0 : array (n, *latent_shape)
            Expected images, by a network.
        x_t, t, schedule, conditions
            As `expected` takes them.
        guidance : float, optional
            Weight of the conditions.

        Returns
        -------
        array (n, *latent_shape)
            `x0` itself where the noise is not deep for any of the axes.
        """
        used = np.isfinite(self.begin)
        begin = np.where(used, self.begin, 0) * self.spread()
        deep = used & (schedule.sigma(t) > begin * schedule.alpha(t))
        if not deep.any():
            return x0
        wanted = self.expected(x_t, t, schedule, conditions)
        if guidance != 1:
            open_ended = np.full_like(conditions, np.nan)
            plain = self.expected(x_t, t, schedule, open_ended)
            wanted = plain + guidance * (wanted - plain)
        change = np.where(deep, wanted - self.coordinates(x0), 0)
        return x0 + np.tensordot(change, self.axes, axes=1).astype("float32")

    def _given(self, features):
        """Give mean and covariance of the coordinates, given conditions (f,)."""
        k = len(self.axes)
        known = k + np.flatnonzero(np.isfinite(features))
        own, across = self.covariance[:k, :k], self.covariance[:k, known]
        within = self.covariance[np.ix_(known, known)]
        slope = across @ np.linalg.pinv(within, rcond=1e-6, hermitian=True)
        mean = self.mean[:k] + slope @ (features[known - k] - self.mean[known])
        return mean, own - slope @ across.T


def _features(conditions, categories):
    """Give a column a number and one a category: (n, f); NaN where missing."""
    columns = []
    for column, count in zip(np.asarray(conditions, "float64").T, categories):
        if count:
            hot = (column[:, None] == np.arange(count)).astype("float64")
            columns.append(np.where(np.isnan(column)[:, None], np.nan, hot))
        else:
            columns.append(column[:, None])
    return np.hstack(columns) if columns else np.empty((len(conditions), 0))


def _alike(features):
    """Group rows that are equal, missing values being equal too: list of ndarray."""
    groups = {}
    for row, values in enumerate(features):
        groups.setdefault(tuple(map(str, values)), []).append(row)
    return [np.array(rows) for rows in groups.values()]


def _moments(joint):
    """Give mean and covariance, missing values being replaced by the mean."""
    known = np.isfinite(joint)
    mean = np.where(known, joint, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centered = np.where(known, joint - mean, 0)
    return mean, centered.T @ centered / len(joint)


def _axes(gram, k):
    """Give weights (n, k) of images that make the first k orthonormal axes."""
    power, vectors = np.linalg.eigh(gram)
    power, vectors = power[::-1][:k], vectors[:, ::-1][:, :k]
    return vectors / np.sqrt(np.maximum(power, _FLOOR))


def _kept_variance(gram, subject, most):
    """Give, by component, its variance on images left out over that on all: (k,).

    The axes are found anew without each fifth of the subjects, all by the Gram matrix.
    """
    k = min(most, len(gram) - 1)
    fold = subject % _FOLDS
    left_out = np.zeros(k)
    for number in range(_FOLDS):
        own, others = fold == number, fold != number
        if not own.any() or others.sum() <= k:
            return np.zeros(0)
        weights = _axes(gram[np.ix_(others, others)], k)
        left_out += np.sum((gram[np.ix_(own, others)] @ weights) ** 2, axis=0)
    power = np.linalg.eigvalsh(gram)[::-1][:k]
    return left_out / np.maximum(power, _FLOOR)
