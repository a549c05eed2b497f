"""Group normalisation with a fused activation."""

import math

import keras
from keras import layers, ops


def group_norm(channels, *, silu=False, dtype=None):
    """Make a GroupNorm, its groups the largest common divisor of channels and 8."""
    return GroupNorm(math.gcd(channels, 8), silu=silu, epsilon=1e-5, dtype=dtype)


@keras.saving.register_keras_serializable("dipy_synth")
class GroupNorm(layers.GroupNormalization):
    """Group normalisation of Keras in fewer operations.

    With `silu`, SiLU is applied to the result of the normalisation
    :footcite:p:`wu2018group`.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, groups=8, *, silu=False, **options):
        super().__init__(groups, **options)
        self.silu = silu

    def call(self, image):
        x = ops.cast(_voxels(image), "float32")
        scale, shift = (
            _grouped(ops.cast(w, "float32"), self.groups)
            for w in (self.gamma, self.beta)
        )
        mean, inverse_std = _moments(x, self.groups, self.epsilon)
        factor = scale * inverse_std
        y = x * _wide(factor) + _wide(shift - factor * mean)
        y = ops.cast(ops.silu(y) if self.silu else y, image.dtype)
        return ops.reshape(y, ops.shape(image))

    def compute_output_shape(self, image_shape):
        return image_shape

    def get_config(self):
        return {**super().get_config(), "silu": self.silu}


def _moments(x, groups, epsilon):
    """Return means, and one over standard deviations: (batch, groups, 1).

    Of channels first, then of groups: differences from a near mean lose no digits.
    """
    center = ops.mean(x, axis=1, keepdims=True)
    square = _grouped(ops.mean(ops.square(x - center), axis=1), groups)
    center = _grouped(center, groups)
    mean = _over_group(center)
    variance = _over_group(square + ops.square(center - mean))
    return mean, ops.rsqrt(variance + epsilon)


def _voxels(image):
    """Return (batch, voxels, channels)."""
    return ops.reshape(image, (ops.shape(image)[0], -1, image.shape[-1]))


def _grouped(values, groups):
    """Return (batch, groups, channels of a group)."""
    return ops.reshape(values, (-1, groups, values.shape[-1] // groups))


def _over_group(values):
    return ops.mean(values, axis=-1, keepdims=True)


def _wide(values):
    """Return values of groups' channels as (batch, 1, channels), to meet voxels."""
    return ops.reshape(values, (-1, 1, values.shape[1] * values.shape[2]))
