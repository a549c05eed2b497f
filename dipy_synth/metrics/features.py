"""Feature extractors: callables from volumes (n, *shape) to features (n, d).

`VoxelPCA` needs only real volumes; `InceptionFeatures` applies a network trained on
photographs to slices. Metrics take the features of any extractor.
"""

import os
from pathlib import Path

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import block_mean, check_features, check_volumes
from dipy_synth.utils.files import file_hash
from dipy_synth.utils.rows import stored_rows, total

_INPUT = 299  # pixels of a slice, as InceptionV3 was trained on
_BATCH = 16  # slices at a time
_WEIGHTS = "inception_v3_weights_tf_dim_ordering_tf_kernels{}.h5"  # Keras' own names


class PCA:
    """Principal components of features, fitted on real ones.

    Parameters
    ----------
    features : array_like of shape (n, d)
        Features of real volumes, preferably not those compared later: where d is above
        n, the volumes it was fitted on vary more along the components than new ones.
    components : int
        Number of components; at most n - 1.
    whiten : bool, optional
        Divide each component by its standard deviation, so that all count alike.

    Raises
    ------
    InputError
        If there are fewer components.
    """

    def __init__(self, features, components, *, whiten=False):
        from sklearn import decomposition

        given, features = features, check_features(features, "features to fit a PCA on")
        most = min(len(features) - 1, features.shape[1])
        if not 1 <= components <= most:
            raise InputError(
                f"PCA: {components} components of features {features.shape}; expected "
                f"1 to {most}"
            )
        # ARPACK's components are as exact, without all the others beside them
        solver = "arpack" if components < min(features.shape) else "full"
        options = {"svd_solver": solver, "random_state": 0, "whiten": whiten}
        shared = np.shares_memory(given, features)
        fitted = decomposition.PCA(components, copy=shared, **options)
        self.fitted = fitted.fit(features)
        self.explained = float(fitted.explained_variance_ratio_.sum())

    def __call__(self, features):
        """Project features, shape (n, d), on the components: (n, components), float64.

        `explained` is the fraction of the variance of the real features in them.
        """
        width = self.fitted.n_features_in_
        features = check_features(features, "features", least=1, width=width)
        return self.fitted.transform(features)


class VoxelPCA:
    """Extractor: block means of voxels, projected on components of real volumes.

    Parameters
    ----------
    volumes : array_like of shape (n, *shape)
        Real volumes in [0, 1].
    components : int, optional
        Number of features.
    factor : int, optional
        Voxels in a block that is averaged, along each axis.
    whiten : bool, optional
        Whiten the components.
    """

    def __init__(self, volumes, *, components=16, factor=4, whiten=False):
        volumes = check_volumes(volumes, "volumes to fit a PCA on", least=2)
        self.shape, self.factor = volumes.shape[1:], factor
        self._inside = block_mean(total(volumes)[None], factor)[0] != 0
        self.pca = PCA(self._coarse(volumes), components, whiten=whiten)

    def __call__(self, volumes):
        """Compute features, (n, components), float64, of volumes, (n, *shape)."""
        return self.pca(
            self._coarse(check_volumes(volumes, "volumes", shape=self.shape))
        )

    def _coarse(self, volumes):
        """Average blocks, less those that are 0 in all real volumes: (n, blocks)."""
        blocks = (block_mean(v[None], self.factor)[0][self._inside] for v in volumes)
        return stored_rows(blocks, len(volumes))


class InceptionFeatures:
    """Extractor: Keras' InceptionV3 on slices in three planes.

    Each plane has its own 2048 features of the network
    :footcite:p:`szegedy2016rethinking`, the mean over its slices; they come one plane
    after the other. Reduce them by `PCA` before FID: a cohort is rarely larger.

    Parameters
    ----------
    weights : str or Path, optional
        A file of Keras' weights for InceptionV3, with or without its classes; by
        default the file that Keras keeps in its cache, if it is there. "random" is for
        tests: features without a meaning.
    slices : int, optional
        Slices of each plane, equally spaced in the middle half of the volume.
    size : int, optional
        Pixels along an edge that slices are resized to.

    Attributes
    ----------
    hash : str or None
        Hash of the file of weights, for a report.

    Raises
    ------
    InputError
        If the weights are missing, or do not fit.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, weights=None, *, slices=5, size=_INPUT):
        path = None if weights == "random" else _find_weights(weights)
        self.slices, self.size = slices, size
        self.hash = path and file_hash(path)
        self.has_classes = path is None or "notop" not in path.name
        self._network = _make_inception(path, self.has_classes)

    def __call__(self, volumes):
        """Compute features, (n, 3 * 2048), float32, of volumes, (n, I, J, K)."""
        planes = [self._run(volumes, axis)["features"] for axis in range(3)]
        return np.concatenate([plane.mean(axis=1) for plane in planes], axis=1)

    def probabilities(self, volumes):
        """Compute the mean class probabilities, (n, 1000), of volumes, (n, I, J, K).

        The classes are of photographs, and have little meaning for brains.
        """
        if not self.has_classes:
            raise InputError(
                "InceptionV3: these weights have no classes; expected the file "
                f"{_WEIGHTS.format('')}"
            )
        planes = [self._run(volumes, axis)["classes"] for axis in range(3)]
        return np.mean(planes, axis=(0, 2))

    def _run(self, volumes, axis):
        """Run all slices of a plane: dict of arrays (n, slices, ...)."""
        volumes = check_volumes(volumes, "volumes")
        if volumes.ndim != 4:
            raise InputError(f"volumes: array {volumes.shape}; expected (n, I, J, K)")
        length = volumes.shape[axis + 1]
        where = np.linspace(length / 4, 3 * length / 4, self.slices).round().astype(int)
        found = np.take(volumes, np.minimum(where, length - 1), axis=axis + 1)
        found = np.moveaxis(found, axis + 1, 1).astype("float32")
        images = found.reshape(-1, *found.shape[2:], 1)
        parts = [
            self._predict(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)
        ]
        lead = (len(volumes), self.slices)
        return {
            name: np.concatenate([part[name] for part in parts]).reshape(*lead, -1)
            for name in parts[0]
        }

    def _predict(self, images):
        """Run a batch of slices (b, I, J, 1) in [0, 1]."""
        from keras import ops

        images = ops.image.resize(images, (self.size,) * 2, interpolation="bilinear")
        images = ops.repeat(images, 3, axis=-1) * 2 - 1
        found = self._network(images, training=False)
        return {name: ops.convert_to_numpy(array) for name, array in found.items()}


def _find_weights(path):
    """Return the path of InceptionV3's weights, a file or that of Keras' cache."""
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
    cached = [folder / _WEIGHTS.format(end) for end in ("", "_notop")]
    paths = cached if path is None else [Path(path)]
    for candidate in paths:
        if candidate.is_file():
            return candidate
    raise InputError(
        f"InceptionV3: no weights at {' or '.join(map(str, paths))}; expected Keras' "
        "file there. keras.applications.InceptionV3() downloads it; or copy it there, "
        "or pass its path"
    )


def _make_inception(path, classes):
    """Make the network: slices -> features, and classes where the file has them."""
    import keras

    body = keras.applications.InceptionV3(
        include_top=False, weights=None, pooling="avg", input_shape=(None, None, 3)
    )
    head = keras.layers.Dense(1000, activation="softmax", name="predictions")
    network = keras.Model(body.inputs, head(body.output)) if classes else body
    if path is not None:
        try:
            network.load_weights(path)
        except (ValueError, OSError) as error:
            raise InputError(f"{path}: no weights of InceptionV3 ({error})") from error
    outputs = {"features": body.output}
    return keras.Model(
        body.inputs, outputs | ({"classes": network.output} if classes else {})
    )
