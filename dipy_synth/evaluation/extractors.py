"""Feature extractors of an evaluation, with principal components of real volumes."""

from collections.abc import Callable
from dataclasses import dataclass
import hashlib

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_features
from dipy_synth.metrics.comparison import noise_like
from dipy_synth.metrics.features import PCA, InceptionFeatures, VoxelPCA
from dipy_synth.utils.startup import start_keras

FEATURES = ("pca", "inception", "predictor")
COMPONENTS = 16  # of features, for metrics of distribution
_BLOCK = 8.0  # mm
_PART = 8  # volumes at a time


@dataclass(frozen=True)
class Extractor:
    """Features of volumes on the principal components of real ones.

    Parameters
    ----------
    function : callable
        Extractor: volumes (n, I, J, K) -> features (n, d).
    pca : PCA
        Components of the features of real volumes.
    name : str
        Name, for a report.
    sha256 : str or None
        Hash of its weights, where it has any.
    fitted_on : str
        Data that the components were fitted on, for a report.
    fitted : ndarray of shape (n, components), float64
        Features of these data.
    """

    function: Callable
    pca: PCA
    name: str
    sha256: str | None
    fitted_on: str
    fitted: np.ndarray

    @classmethod
    def fit(cls, function, volumes, *, fitted_on, identity=None):
        """Fit the components on real volumes (n, I, J, K).

        `identity` is the name and the hash of an unknown function.
        """
        name, sha256 = identity or _identity(function)
        features = in_parts(function, volumes)
        most = min(len(features) - 1, features.shape[1], COMPONENTS)
        pca = PCA(features, most)
        return cls(function, pca, name, sha256, fitted_on, pca(features))

    def __call__(self, volumes):
        """Compute features, (n, components), float64, of volumes, (n, I, J, K)."""
        return self.pca(in_parts(self.function, volumes))

    def to_config(self):
        """Return a description in JSON types: dict."""
        is_pca = isinstance(self.function, VoxelPCA)
        own = self.function.pca.explained if is_pca else 1.0
        return {
            "name": self.name,
            "sha256": self.sha256,
            "components": self.pca.fitted.n_components_,
            "explained": float(self.pca.explained * own),
            "fitted_on": self.fitted_on,
        }


def voxel_pca(volumes, *, grid, components=COMPONENTS):
    """Make the extractor that needs no network from real volumes of a grid: VoxelPCA.

    Voxels are averaged in blocks of about 8 mm, or of two voxels.
    """
    factor = voxels_in(_BLOCK, grid)
    components = min(components, len(volumes) - 1)
    return VoxelPCA(volumes, components=components, factor=factor)


def voxels_in(length, grid):
    """Convert a length in mm to voxels of a grid: int, at least 2."""
    return max(round(length / min(grid.voxel_size)), 2)


def in_parts(function, volumes):
    """Compute features of a cohort in batches of volumes: ndarray of shape (n, d)."""
    parts = range(0, len(volumes), _PART)
    found = [
        np.asarray(function(np.asarray(volumes[i : i + _PART], "float32")))
        for i in parts
    ]
    return check_features(np.concatenate(found), "features", least=1)


def of_noise(function, volumes, *, seed):
    """Compute features of shuffled volumes, made one at a time: (n, d)."""
    noise = (noise_like(volumes[[i]], seed=seed + i) for i in range(len(volumes)))
    return np.concatenate([np.asarray(function(one)) for one in noise])


def _identity(function):
    """Return the name and the hash of an extractor."""
    if isinstance(function, VoxelPCA):
        words = f"PCA of voxels in blocks of {function.factor}"
        fitted = function.pca.fitted
        return words, _digest(fitted.mean_, fitted.components_)
    if isinstance(function, InceptionFeatures):
        return "InceptionV3 on slices in three planes", function.hash
    return type(function).__name__, None


def _digest(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, "float32").tobytes())
    return digest.hexdigest()


def make_extractors(features, weights=None):
    """Return arguments of `evaluate` for a name of `FEATURES`: dict.

    They are ``extractor`` and ``classes``, or ``predictor``. Absent `weights`, or those
    of another extractor, are an InputError.
    """
    if features not in FEATURES:
        raise InputError(
            f"features {features!r}: expected one of {', '.join(FEATURES)}"
        )
    if features == "predictor":
        start_keras()
        from dipy_synth.nn.predictor import DEFAULT_PREDICTOR, CovariatePredictor

        return {"predictor": CovariatePredictor(weights or DEFAULT_PREDICTOR)}
    if features == "inception":
        start_keras()
        extractor = InceptionFeatures(weights)
        classes = extractor.probabilities if extractor.has_classes else None
        return {"extractor": extractor, "classes": classes}
    if weights is not None:
        raise InputError(
            f"weights {weights}: features pca has none; expected features predictor, "
            "or inception"
        )
    return {}


def hash_of(predictor=None, extractor=None, classes=None):
    """Return the hash of the weights of `make_extractors`: str, or None without any."""
    if predictor is not None:
        return predictor.config["weights_sha256"]
    return None if extractor is None else extractor.hash
