"""A small network that predicts covariates of a volume: age, sex, a digit.

Its penultimate features are used to compare cohorts. As the default autoencoder, it is
initialised by a linear model: principal components of local intensity histograms, which
hold much of the effect of age on an aligned brain. Convolutions correct them.
"""

import math

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.networks.blocks import ResidualBlock, convolution
from dipy_synth.networks.network import Network
from dipy_synth.networks.normalization import group_norm

_POOL = {2: layers.AveragePooling2D, 3: layers.AveragePooling3D}
_RIDGE = 0.1  # of the number of images: features start with variance 1


@keras.saving.register_keras_serializable("dipy_synth")
class PredictorNetwork(Network):
    """Predict numbers and categories from an image, by way of a few features.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the images, two or three axes.
    categories : sequence of int
        One entry per column to predict: the number of its categories, or 0 for a
        number.
    widths : sequence of int, optional
        Channels of the convolutions, per level; each level halves the resolution and
        has one residual block :footcite:p:`he2016identity`.
    features : int, optional
        Features of an image.
    levels : int, optional
        Number of intensity levels.
    shrink : int, optional
        Side of the blocks of local histograms, for the convolutions: local amounts of
        tissue, rather than intensities :footcite:p:`ashburner2000vbm`.
    block : int, optional
        The same for the linear path, in those blocks.
    where : bool, optional
        Keep the position of the convolutions' features, for covariates that are places;
        by default they are averaged over the image.

    Notes
    -----
    Called on images ``(batch, *shape, 1)`` in [-1, 1]; returns ``(batch, outputs)``,
    float32: for each column in turn its number, scaled as `ConditionSchema.encode`
    does, or the logits of its categories. Targets are ``(batch, n_columns)``; NaN,
    where a value is missing, is masked in the loss.

    References
    ----------
    .. footbibliography::
    """

    def __init__(
        self,
        shape,
        *,
        categories,
        widths=(16, 32, 64),
        features=32,
        levels=5,
        shrink=1,
        block=1,
        where=False,
        **kwargs,
    ):
        # float32: bfloat16 would round intensities to 1 %
        super().__init__(autocast=False, **kwargs)
        self.shape, self.widths = tuple(int(n) for n in shape), tuple(widths)
        self.categories, self.n_features = tuple(categories), int(features)
        self.levels, self.shrink, self.block = int(levels), int(shrink), int(block)
        self.where = bool(where)
        if len(self.shape) not in (2, 3):
            raise InputError(f"image shape {self.shape}: expected 2 or 3 axes")
        if not self.categories:
            raise InputError("nothing to predict: expected a column or more")
        self._make_layers(len(self.shape))
        self.build((None, *self.shape, 1))

    def _make_layers(self, rank):
        exact = {"dtype": "float32"}
        self.count = _POOL[rank](self.shrink, padding="same", **exact)
        self.coarsen = _POOL[rank](self.block, padding="same", **exact)
        # frozen: it has enough weights to overfit the training brains
        self.linear = layers.Dense(
            self.n_features, name="linear", trainable=False, **exact
        )
        body = []
        for width in self.widths:
            body += [convolution(rank, width, strides=2), ResidualBlock(width)]
        self.body = keras.Sequential(
            [*body, group_norm(self.widths[-1], silu=True)], name="body"
        )
        self.correction = layers.Dense(
            self.n_features, kernel_initializer="zeros", name="correction", **exact
        )
        outputs = sum(max(1, n) for n in self.categories)
        self.head = layers.Dense(outputs, name="head", **exact)

    def build(self, input_shape):
        counts = self.count.compute_output_shape((*input_shape[:-1], self.levels))
        self.body.build(counts)
        size = math.prod(self.coarsen.compute_output_shape(counts)[1:])
        self.linear.build((None, size))
        found = self.body.compute_output_shape(counts)[1:]
        size = math.prod(found) if self.where else self.widths[-1]
        self.correction.build((None, size))
        self.head.build((None, self.n_features))
        self.built = True

    def describe(self, images):
        """Compute the features.

        Parameters
        ----------
        images : tensor of shape (batch, *shape, 1)
            Images in [-1, 1].

        Returns
        -------
        tensor of shape (batch, features), float32
        """
        counts = self.local_histograms(images)
        found = ops.cast(self.body(counts), "float32")
        if self.where:
            found = _flat(found)
        else:
            found = ops.mean(found, axis=tuple(range(1, 1 + len(self.shape))))
        return self.linear(self._coarse(counts)) + self.correction(found)

    def local_histograms(self, images):
        """Compute local histograms: (batch, *shape / shrink, levels), in [0, 1].

        A voxel is shared by the two nearest levels; the background is not counted.
        """
        brightness = (ops.cast(images, "float32") + 1) / 2 * self.levels
        level = np.arange(1, self.levels + 1, dtype="float32")
        return self.count(ops.relu(1 - ops.abs(brightness - level)))

    def _coarse(self, counts):
        return _flat(self.coarsen(counts))

    def call(self, images):
        return self.head(self.describe(images))

    def split(self, outputs):
        """Split outputs by column: list of (batch, 1) or (batch, n_categories)."""
        parts, start = [], 0
        for n in self.categories:
            parts.append(outputs[:, start : start + max(1, n)])
            start += max(1, n)
        return parts

    def initialize(self, images, targets):
        """Initialise by principal components and a ridge regression on them.

        Parameters
        ----------
        images : array of shape (n, *shape, 1)
            Training images in [-1, 1].
        targets : array of shape (n, n_columns)
            Targets; NaN where missing.
        """
        flat = np.concatenate(
            [
                ops.convert_to_numpy(
                    self._coarse(self.local_histograms(images[i : i + 16]))
                )
                for i in range(0, len(images), 16)
            ]
        )
        mean = flat.mean(axis=0)
        _, sizes, vectors = np.linalg.svd(flat - mean, full_matrices=False)
        kept = min(self.n_features, np.sum(sizes > 1e-6 * sizes[0]))
        kernel = np.zeros((flat.shape[1], self.n_features), "float32")
        kernel[:, :kept] = (vectors[:kept] / sizes[:kept, None]).T * len(flat) ** 0.5
        self.linear.set_weights([kernel, -mean @ kernel])
        self.head.set_weights(self._regress((flat - mean) @ kernel, targets))

    def _regress(self, features, targets):
        """Fit the head by ridge regression on features: kernel and bias."""
        kernels, biases = [], []
        for values, n in zip(np.transpose(targets), self.categories):
            known = ~np.isnan(values)
            wanted = values[known, None]
            if n:  # logits from -2 to 2
                wanted = 4 * (wanted == np.arange(n)) - 2
            x, middle = features[known], wanted.mean(axis=0)
            penalty = _RIDGE * len(x) * np.eye(x.shape[1])
            kernels.append(np.linalg.solve(x.T @ x + penalty, x.T @ (wanted - middle)))
            biases.append(middle)
        return [np.concatenate(kernels, axis=1), np.concatenate(biases)]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        """Compute the mean loss of the columns, each over its known values."""
        columns = zip(self.categories, self.split(y_pred))
        losses = [column_loss(y[:, i], out, n) for i, (n, out) in enumerate(columns)]
        return sum(losses) / len(losses)

    def arguments(self):
        return {
            "shape": self.shape,
            "categories": self.categories,
            "widths": self.widths,
            "features": self.n_features,
            "levels": self.levels,
            "shrink": self.shrink,
            "block": self.block,
            "where": self.where,
        }


def _flat(images):
    return ops.reshape(images, (-1, math.prod(images.shape[1:])))


def column_loss(values, outputs, n_categories):
    """Compute the mean loss of a column over its known values; 0 without any.

    Values (batch,) are numbers, or indices of categories, NaN where missing. Outputs
    (batch, max(1, n_categories)) are the prediction, of the squared error, or logits,
    of the cross-entropy.
    """
    missing = ops.isnan(values)
    known = ops.where(missing, ops.zeros_like(values), values)
    if n_categories:
        index = ops.cast(known, "int32")
        each = keras.losses.sparse_categorical_crossentropy(
            index, outputs, from_logits=True
        )
    else:
        each = ops.square(outputs[:, 0] - known)
    counts = ops.cast(ops.logical_not(missing), each.dtype)
    return ops.sum(each * counts) / ops.maximum(ops.sum(counts), 1.0)
