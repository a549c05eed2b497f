"""Memory-efficient group normalisation with a fused activation."""

import math

import keras
from keras import layers, ops


def group_norm(channels, *, silu=False, dtype=None):
    """Make a GroupNorm, its groups the largest common divisor of channels and 8."""
    return GroupNorm(math.gcd(channels, 8), silu=silu, epsilon=1e-5, dtype=dtype)


@keras.saving.register_keras_serializable("dipy_synth")
class GroupNorm(layers.GroupNormalization):
    """Group normalisation [1]_ of Keras that stores only its input for the gradient.

    With `silu`, SiLU is applied to the result.

    References
    ----------
    .. [1] Wu & He, "Group normalization", ECCV 2018.
    """

    def __init__(self, groups=8, *, silu=False, **options):
        super().__init__(groups, **options)
        self.silu = silu

    def call(self, image):
        each = (ops.shape(image)[0], image.shape[-1])
        scale, shift = (
            ops.broadcast_to(ops.convert_to_tensor(w), each)
            for w in (self.gamma, self.beta)
        )
        return _normalise(self.groups, self.epsilon, self.silu)(image, scale, shift)

    def compute_output_shape(self, image_shape):
        return image_shape

    def get_config(self):
        return {**super().get_config(), "silu": self.silu}


def _normalise(groups, epsilon, silu):
    """Return the function that normalises, with a gradient from its arguments alone.

    It takes images (batch, *spatial, channels), scales and shifts (batch, channels).
    """

    @ops.custom_gradient
    def normalise(image, scale, shift):
        x, scale = ops.cast(_voxels(image), "float32"), _grouped(scale, groups)
        mean, inverse_std = _moments(x, groups, epsilon)
        factor = _wide(scale * inverse_std)
        offset = _wide(_grouped(shift, groups) - scale * inverse_std * mean)

        def gradient(*args, upstream=None):
            dy = _voxels(args[0] if upstream is None else upstream)
            # depends on dy, or a graph would compute it early and store it
            x = ops.cast(_voxels(image) + 0 * dy[:, :1], "float32")
            dy = ops.cast(dy, "float32")
            dy = dy * _silu_slope(x * factor + offset) if silu else dy
            dx, *others = _backwards(x, dy, scale, mean, inverse_std)
            dx = ops.reshape(ops.cast(dx, image.dtype), ops.shape(image))
            return dx, *(ops.reshape(n, ops.shape(shift)) for n in others)

        y = x * factor + offset
        y = ops.cast(ops.silu(y) if silu else y, image.dtype)
        return ops.reshape(y, ops.shape(image)), gradient

    return normalise


def _backwards(x, dy, scale, mean, inverse_std):
    """Return the gradients by x (batch, voxels, channels), and by scales and shifts.

    Those, and `scale`, are (batch, groups, channels of a group).
    """
    groups, voxels = scale.shape[1], ops.cast(ops.shape(x)[1], "float32")
    d_shift = _grouped(ops.sum(dy, axis=1), groups)
    d_scale = (_grouped(ops.sum(dy * x, axis=1), groups) - mean * d_shift) * inverse_std
    slope = _over_group(d_scale * scale) * ops.square(inverse_std) / voxels
    level = _over_group(d_shift * scale) * inverse_std / voxels - mean * slope
    slope, level = (
        _wide(ops.broadcast_to(n, ops.shape(scale))) for n in (slope, level)
    )
    return dy * _wide(scale * inverse_std) - x * slope - level, d_scale, d_shift


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


def _silu_slope(y):
    gate = ops.sigmoid(y)
    return gate * (1 + y * (1 - gate))


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
