"""The best linear denoiser, in closed form, for high noise levels."""

from itertools import combinations

import numpy as np
from scipy.optimize import isotonic_regression

_REST = 0.15  # of the variance at a position, at least, outside the directions
_RIDGE = 0.02  # of the number of images
_FOLDS = 5  # of the cross-validation
_PRODUCTS = 64  # of the categories of two conditions, at most


class GaussianDenoiser:
    """Posterior mean under a Gaussian of low rank plus a diagonal.

    In noise far above the signal the best estimate is nearly that of a Gaussian, in
    closed form :footcite:p:`wang2024gaussian`; a network learns it slowly there.

    Parameters
    ----------
    effects : ndarray of shape (f, *latent_shape)
        Change of the mean per unit of each feature of the conditions.
    factors : ndarray of shape (k, *latent_shape)
        Principal directions, times the standard deviations along them.
    variance : ndarray of shape (*latent_shape)
        Variance at each position and channel.
    features : dict
        Map from conditions to features, see `to_config`: ``categories``, ``mean`` and
        ``covariance``.
    threshold : float, optional
        Noise-to-signal ratio above which it replaces the network.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, effects, factors, variance, features, *, threshold=np.inf):
        self.shape, self.features = variance.shape, features
        self.effects = _flat(effects, self.shape)
        self.factors = _flat(factors, self.shape)
        variance = np.asarray(variance, "float32").ravel()
        rest = variance - np.square(self.factors).sum(axis=0)
        self.rest = np.maximum(rest, _REST * variance)
        self.threshold = float(threshold)

    @classmethod
    def fit(
        cls,
        latents,
        conditions,
        variance,
        *,
        categories=(),
        directions=30,
        subjects=None,
    ):
        """Fit to normalised training latents.

        A few images vary more along their own principal directions than other images
        do. So the variance along each direction is that of left-out subjects, found by
        cross-validation. The effect of a condition on a position is shrunk by what
        chance alone would give :footcite:p:`james1961estimation`, so that a tumour
        changes the place where it lies, and no more.

        Parameters
        ----------
        latents : ndarray of shape (n, *latent_shape)
            Normalised latents, some hundreds at most; their mean is 0.
        conditions : ndarray of shape (n, n_conditions)
            Encoded conditions; NaN where missing.
        variance : ndarray of shape (*latent_shape)
            Variance at each position and channel.
        categories : sequence of int, optional
            Number of categories of each condition, 0 for a number.
        directions : int, optional
            Principal directions, at most.
        subjects : ndarray of shape (n,), optional
            Subject of each latent; all different by default.

        Returns
        -------
        GaussianDenoiser

        References
        ----------
        .. footbibliography::
        """
        x = np.asarray(latents, "float32").reshape(len(latents), -1)
        categories = [int(n) for n in categories]
        raw = _expand(conditions, categories)
        mean = _nanmean(raw)
        f = _centered(raw, mean)
        features = {"categories": categories, "mean": mean.tolist()}
        features["covariance"] = (f.T @ f / len(f)).tolist()
        gram = f.T @ f + _RIDGE * len(x) * np.eye(f.shape[1])
        solution = np.linalg.solve(gram, f.T).astype("float32")
        f, effects = f.astype("float32"), solution @ x
        effects *= _significant(effects, solution, x - f @ effects, latents.shape[-1])
        x = x - f @ effects
        gram = (x @ x.T).astype("float64")
        vectors = _principal(gram, min(directions, len(x) - 1))[1]
        subjects = np.arange(len(x)) if subjects is None else np.asarray(subjects)
        kept = _shares_left_out(gram, subjects, vectors.shape[1])
        # the columns of x.T @ vectors / sqrt(n) are directions times deviations
        factors = (vectors * np.sqrt(kept / len(x))).T.astype("float32") @ x
        return cls(effects, factors, variance, features)

    def to_config(self):
        """Return everything but the arrays: dict of JSON types."""
        finite = np.isfinite(self.threshold)
        return {**self.features, "threshold": self.threshold if finite else None}

    def arrays(self):
        """Return the arrays that a model folder keeps, in half precision."""
        return {
            "gaussian_effects": self.effects.reshape(-1, *self.shape).astype("float16"),
            "gaussian_factors": self.factors.reshape(-1, *self.shape).astype("float16"),
        }

    @classmethod
    def load(cls, config, arrays, variance):
        """Restore from what `to_config` and `arrays` returned.

        Raises
        ------
        ValueError
            If the number of features is not that of the categories.
        """
        features = {key: config[key] for key in ("categories", "mean", "covariance")}
        effects, factors = (
            arrays[f"gaussian_{name}"] for name in ("effects", "factors")
        )
        categories = features["categories"]
        expected = _expand(np.zeros((0, len(categories))), categories).shape[1]
        if not len(effects) == len(features["mean"]) == expected:
            raise ValueError(f"{len(effects)} effects, expected {expected}")
        threshold = np.inf if config["threshold"] is None else config["threshold"]
        return cls(effects, factors, variance, features, threshold=threshold)

    def __call__(self, x_t, t, schedule, conditions, *, guidance=1.0):
        """Estimate images from their state at a time.

        Parameters
        ----------
        x_t : ndarray of shape (n, *latent_shape)
            States at time t.
        t : float
            The time.
        schedule : Schedule
            Schedule, for alpha and sigma.
        conditions : ndarray of shape (n, n_conditions)
            Encoded conditions; NaN where missing.
        guidance : float, optional
            Weight of the conditions.

        Returns
        -------
        ndarray of shape (n, *latent_shape), float32
        """
        level = float(schedule.alpha(t)), float(schedule.sigma(t))
        raw = _expand(conditions, self.features["categories"])
        states = np.asarray(x_t, "float32").reshape(len(x_t), -1)
        found = np.empty_like(states)
        unknown = np.isnan(raw)
        for pattern in np.unique(unknown, axis=0):
            rows = np.flatnonzero((unknown == pattern).all(axis=1))
            f, spread = self._features_given(raw[rows], ~pattern)
            mean = (guidance * f).astype("float32") @ self.effects
            factors = np.vstack([self.factors, spread.astype("float32") @ self.effects])
            found[rows] = self._posterior_mean(states[rows], mean, factors, *level)
        return found.reshape(x_t.shape)

    def _features_given(self, raw, known):
        """Return the mean of centred features given those known, and their spread.

        Features that are not known vary as in training, given the others.

        Returns
        -------
        f : ndarray of shape (n, f)
        spread : ndarray of shape (m, f)
            Factors of their covariance: it is ``spread.T @ spread``.
        """
        size = len(known)
        covariance = np.reshape(self.features["covariance"], (size, size))
        f = _centered(raw, self.features["mean"])
        if known.all():
            return f, np.zeros((0, size))
        within, across = covariance[np.ix_(known, known)], covariance[known][:, ~known]
        slopes = np.linalg.pinv(within, rcond=1e-6, hermitian=True) @ across
        f[:, ~known] = f[:, known] @ slopes
        left = covariance[np.ix_(~known, ~known)] - across.T @ slopes
        values, vectors = np.linalg.eigh(left)
        spread = np.zeros((len(values), size))
        spread[:, ~known] = (vectors * np.sqrt(np.maximum(values, 0))).T
        return f, spread

    def _posterior_mean(self, states, mean, factors, alpha, sigma):
        """Return E[x0 | state] by Woodbury's identity: ndarray of shape (n, size)."""
        seen = states - alpha * mean
        # covariance of the states: alpha^2 (L'L + R) + sigma^2
        total = (alpha**2 * self.rest + sigma**2).astype("float32")
        scaled = factors / total
        inner = np.eye(len(factors)) + alpha**2 * (scaled @ factors.T)
        along = np.linalg.solve(inner, (seen @ scaled.T).T.astype("float64")).T
        weighted = seen / total - alpha**2 * (along.astype("float32") @ scaled)
        found = (weighted @ factors.T) @ factors + self.rest * weighted
        return mean + alpha * found


def _significant(effects, solution, rest, channels):
    """Compute the fraction of each effect that is not chance: (f, size), in [0, 1].

    The positive part of the estimator of James and Stein, over the channels of a
    position.
    """
    positions = (-1, effects.shape[1] // channels, channels)
    spread = np.einsum("ij,ij->j", rest, rest) / len(rest)  # without a copy of `rest`
    spread, size = (
        squares.reshape(positions).sum(axis=-1)
        for squares in (spread, np.square(effects))
    )
    error = np.square(solution).sum(axis=1)[:, None] * spread
    kept = np.maximum(1 - error / np.maximum(size, 1e-12), 0)
    return np.repeat(kept, channels, axis=-1).astype("float32")


def _principal(gram, k):
    """Return the k largest eigenvalues of a Gram matrix, with their vectors."""
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values[::-1][:k], 1e-12), vectors[:, ::-1][:, :k]


def _shares_left_out(gram, subjects, k):
    """Compute the fraction of variance along each direction in left-out subjects.

    Parameters
    ----------
    gram : ndarray of shape (n, n)
        Inner products of the images.
    subjects : ndarray of shape (n,)
        Subject of each image.
    k : int
        Number of directions.

    Returns
    -------
    ndarray of shape (k,)
        In [0, 1], decreasing.
    """
    names = np.unique(subjects)
    folds = min(_FOLDS, len(names))
    if folds < 2:
        return np.full(k, 0.5)
    fold = np.searchsorted(names, subjects) % folds
    shares = np.zeros((folds, k))
    for number in range(folds):
        left_out, kept = fold == number, fold != number
        values, vectors = _principal(gram[np.ix_(kept, kept)], min(k, kept.sum() - 1))
        along = gram[np.ix_(left_out, kept)] @ vectors  # times sqrt(values)
        share = np.mean(along**2, axis=0) / values / (values / kept.sum())
        shares[number, : len(share)] = share
    falling = isotonic_regression(shares.mean(axis=0), increasing=False).x
    return np.clip(falling, 0, 1)


def _flat(maps, shape):
    return np.asarray(maps, "float32").reshape(-1, int(np.prod(shape)))


def _expand(conditions, categories):
    """Expand conditions to features: ndarray of shape (n, f), NaN where missing.

    A number becomes itself and its square, a category one-hot. Two categories have
    their products, too: what a type of tumour changes depends on its place.
    """
    columns, one_hot = [], []
    for column, count in zip(np.asarray(conditions, "float64").T, categories):
        if count:
            hot = (column[:, None] == np.arange(count)).astype("float64")
            one_hot.append(np.where(np.isnan(column)[:, None], np.nan, hot))
            columns.append(one_hot[-1])
        else:
            columns.append(np.stack([column, column**2], axis=1))
    for one, other in combinations(one_hot, 2):
        if (count := one.shape[1] * other.shape[1]) <= _PRODUCTS:
            products = one[:, :, None] * other[:, None, :]
            columns.append(products.reshape(-1, count))
    return np.hstack(columns) if columns else np.empty((len(conditions), 0))


def _nanmean(features):
    known = np.isfinite(features)
    total = np.where(known, features, 0).sum(axis=0)
    return total / np.maximum(known.sum(axis=0), 1)


def _centered(features, mean):
    """Return features less their mean; 0 where missing."""
    return np.where(np.isfinite(features), features - np.asarray(mean), 0.0)
