"""Building blocks of the networks.

Each takes the rank of the image (2 or 3) from its input, so that one block serves
images and volumes. Images are channels-last: ``(batch, *spatial, channels)``.
"""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.networks.normalization import group_norm

_CONV = {2: layers.Conv2D, 3: layers.Conv3D}
_TRANSPOSED = {2: layers.Conv2DTranspose, 3: layers.Conv3DTranspose}
_UPSAMPLING = {2: layers.UpSampling2D, 3: layers.UpSampling3D}


def convolution(
    rank,
    filters,
    *,
    kernel_size=3,
    strides=1,
    zero=False,
    gain=2.0,
    dtype=None,
    name=None,
):
    """Make a convolution layer of a rank, 2 or 3, with padding 'same'.

    With `zero` weights are 0 at first, so that a residual path begins as the identity.
    Initial weights have the variance `gain` / (number of inputs of an output).
    """
    return _CONV[rank](
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        kernel_initializer=(
            "zeros" if zero else keras.initializers.VarianceScaling(gain)
        ),
        dtype=dtype,
        name=name,
    )


def transposed_convolution(rank, filters, *, kernel_size=4, strides=2):
    """Make a transposed convolution layer of a rank, 2 or 3, with padding 'same'."""
    return _TRANSPOSED[rank](
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        kernel_initializer="he_normal",
    )


def space_to_depth(x, factor):
    """Move blocks of ``factor`` voxels a side into the channels.

    From (batch, *spatial, channels), spatial sizes multiples of `factor`, to (batch,
    *spatial / factor, factor ** rank * channels).
    """
    rank, channels = len(x.shape) - 2, x.shape[-1]
    small = [size // factor for size in x.shape[1:-1]]
    split = [-1, *(n for size in small for n in (size, factor)), channels]
    outer, inner = range(1, 2 * rank + 1, 2), range(2, 2 * rank + 1, 2)
    x = ops.transpose(ops.reshape(x, split), (0, *outer, *inner, 2 * rank + 1))
    return ops.reshape(x, (-1, *small, factor**rank * channels))


def as_patches(image, patch):
    """Cut one image (*shape, channels) into patches: ndarray of shape (n, numbers).

    Each patch is in the order of `space_to_depth`.
    """
    blocks = space_to_depth(np.asarray(image, "float32")[None], patch)
    return np.asarray(ops.convert_to_numpy(blocks)).reshape(-1, blocks.shape[-1])


def depth_to_space(x, factor):
    """Invert `space_to_depth`: upsampling without a transposed convolution."""
    rank, small = len(x.shape) - 2, x.shape[1:-1]
    channels = x.shape[-1] // factor**rank
    x = ops.reshape(x, (-1, *small, *[factor] * rank, channels))
    pairs = [axis for i in range(1, rank + 1) for axis in (i, i + rank)]
    x = ops.transpose(x, (0, *pairs, 2 * rank + 1))
    return ops.reshape(x, (-1, *(size * factor for size in small), channels))


def haar_matrix(rank):
    """Compute the orthonormal Haar transform of a block of two voxels a side.

    It is symmetric, (2 ** rank, 2 ** rank), so its own inverse; the first row is the
    block's mean times ``2 ** (rank / 2)``.
    """
    matrix = np.ones((1, 1))
    for _ in range(rank):
        matrix = np.kron(matrix, np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2))
    return matrix.astype("float32")


def haar_down(x):
    """Halve the size of a one-channel image by the Haar transform, without loss.

    From (batch, *spatial, 1), even sizes, to (batch, *spatial / 2, 2 ** rank).
    """
    matrix = ops.cast(haar_matrix(len(x.shape) - 2), x.dtype)
    return ops.matmul(space_to_depth(x, 2), matrix)


def haar_up(x):
    """Invert `haar_down`."""
    matrix = ops.cast(haar_matrix(len(x.shape) - 2), x.dtype)
    return depth_to_space(ops.matmul(x, matrix), 2)


@keras.saving.register_keras_serializable("dipy_synth")
class ResidualBlock(layers.Layer):
    """Residual block of two normalised convolutions, the last one zero-initialised.

    Normalisation and activation precede a convolution :footcite:p:`he2016identity`.

    Parameters
    ----------
    channels : int
        Output channels.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, image_shape):
        rank, incoming = len(image_shape) - 2, image_shape[-1]
        own = {"dtype": self.dtype_policy}
        self.norm1 = group_norm(incoming, silu=True, **own)
        self.norm2 = group_norm(self.channels, silu=True, **own)
        self.conv1 = convolution(rank, self.channels, **own)
        self.conv2 = convolution(rank, self.channels, zero=True, **own)
        same = incoming == self.channels
        self.shortcut = (
            layers.Identity(**own)
            if same
            else convolution(rank, self.channels, kernel_size=1, **own)
        )
        middle = (*image_shape[:-1], self.channels)
        for layer in (self.norm1, self.conv1, self.shortcut):
            layer.build(image_shape)
        for layer in (self.norm2, self.conv2):
            layer.build(middle)

    def call(self, image):
        y = self.norm2(self.conv1(self.norm1(image)))
        return self.shortcut(image) + self.conv2(y)

    def compute_output_shape(self, image_shape):
        return (*image_shape[:-1], self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable("dipy_synth")
class Upsample(layers.Layer):
    """Double the size by nearest-neighbour interpolation, then convolve.

    A transposed convolution is slower on a CPU and causes checkerboard artifacts
    :footcite:p:`odena2016checkerboard`.

    Parameters
    ----------
    channels : int
        Output channels.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape):
        rank = len(input_shape) - 2
        self.resize = _UPSAMPLING[rank](2, dtype=self.dtype_policy)
        self.conv = convolution(rank, self.channels, dtype=self.dtype_policy)
        self.conv.build(self.resize.compute_output_shape(input_shape))

    def call(self, x):
        return self.conv(self.resize(x))

    def compute_output_shape(self, input_shape):
        spatial = (n if n is None else 2 * n for n in input_shape[1:-1])
        return (input_shape[0], *spatial, self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}
