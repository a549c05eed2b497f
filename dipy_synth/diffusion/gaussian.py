"""The best linear denoiser, in closed form, for high noise levels."""

import numpy as np

_REST = 0.15  # of the variance at a position, at least, outside the directions
_RIDGE = 0.02  # of the number of images


class GaussianDenoiser:
    """Posterior mean under a Gaussian of low rank plus a diagonal.

    In noise far above the signal the best estimate is nearly that of a Gaussian, which
    needs no training, while all that a network sees there is noise.

    Parameters
    ----------
    effects : ndarray of shape (f, *latent_shape)
        Change of the mean per unit of each feature of the conditions.
    factors : ndarray of shape (k, *latent_shape)
        Principal directions, times the standard deviations along them.
    variance : ndarray of shape (*latent_shape)
        Variance at each position and channel.
    features : dict
        How conditions become features, as `to_config` gives it.
    threshold : float, optional
        Noise-to-signal ratio above which it is to be used in place of a network.

    References
    ----------
    Wang & Vastola (2024). The unreasonable effectiveness of Gaussian score
    approximation for diffusion models and its applications. TMLR.
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
    def fit(cls, latents, conditions, variance, *, categories=(), directions=30):
        """Fit to normalised training latents.

        A few images vary more along their own principal directions than other images
        do, so the variances along the directions are halved.

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

        Returns
        -------
        GaussianDenoiser
        """
        x = np.asarray(latents, "float32").reshape(len(latents), -1)
        features = {"categories": [int(n) for n in categories]}
        raw = _expand(conditions, features["categories"])
        features["mean"] = _nanmean(raw).tolist()
        f = _centered(raw, features["mean"])
        gram = f.T @ f + _RIDGE * len(x) * np.eye(f.shape[1])
        effects = (np.linalg.solve(gram, f.T) @ x).astype("float32")
        x = x - (f @ effects).astype("float32")
        values, vectors = np.linalg.eigh((x @ x.T).astype("float64") / len(x))
        k = min(directions, len(x) - 1)
        values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
        values = np.maximum(values, 1e-12)
        # x.T @ vectors / sqrt(n values) are unit directions; half of their variance
        factors = (vectors * np.sqrt(0.5 / len(x))).T.astype("float32") @ x
        return cls(effects, factors, variance, features)

    def to_config(self):
        """Return all but the arrays, for JSON."""
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
        """Restore from what `to_config` and `arrays` returned."""
        features = {key: config[key] for key in ("categories", "mean")}
        effects, factors = (
            arrays[f"gaussian_{name}"] for name in ("effects", "factors")
        )
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
            Gives alpha and sigma.
        conditions : ndarray of shape (n, n_conditions)
            Encoded conditions; NaN where missing.
        guidance : float, optional
            Weight of the conditions.

        Returns
        -------
        ndarray of shape (n, *latent_shape), float32
        """
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        raw = _expand(conditions, self.features["categories"])
        f = guidance * _centered(raw, self.features["mean"])
        mean = f.astype("float32") @ self.effects
        seen = np.asarray(x_t, "float32").reshape(len(x_t), -1) - alpha * mean
        # Woodbury: covariance of what is seen, alpha^2 (L'L + R) + sigma^2
        total = (alpha**2 * self.rest + sigma**2).astype("float32")
        scaled = self.factors / total
        inner = np.eye(len(self.factors)) + alpha**2 * (scaled @ self.factors.T)
        along = np.linalg.solve(inner, (seen @ scaled.T).T.astype("float64")).T
        weighted = seen / total - alpha**2 * (along.astype("float32") @ scaled)
        found = (weighted @ self.factors.T) @ self.factors + self.rest * weighted
        return (mean + alpha * found).astype("float32").reshape(x_t.shape)


def _flat(maps, shape):
    return np.asarray(maps, "float32").reshape(-1, int(np.prod(shape)))


def _expand(conditions, categories):
    """Return a column a number and one a category: (n, f); NaN where missing."""
    columns = []
    for column, count in zip(np.asarray(conditions, "float64").T, categories):
        if count:
            hot = (column[:, None] == np.arange(count)).astype("float64")
            columns.append(np.where(np.isnan(column)[:, None], np.nan, hot))
        else:
            columns.append(np.stack([column, column**2], axis=1))
    return np.hstack(columns) if columns else np.empty((len(conditions), 0))


def _nanmean(features):
    known = np.isfinite(features)
    total = np.where(known, features, 0).sum(axis=0)
    return total / np.maximum(known.sum(axis=0), 1)


def _centered(features, mean):
    """Return features less their mean; 0 where missing."""
    return np.where(np.isfinite(features), features - np.asarray(mean), 0.0)
