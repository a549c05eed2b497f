"""Group normalisation, with what follows it, in little memory."""

import math

import keras
from keras import layers, ops


def group_norm(channels, *, silu=False, dtype=None):
    """Normalise over groups of channels: right at any batch size, unlike BatchNorm.

    Parameters
    ----------
    channels : int
        Channels of the input; the groups are their largest common divisor with 8.
    silu : bool, optional
        Apply SiLU to the result.
    dtype : keras.DTypePolicy or str, optional
        Precision; the global one by default.

    Returns
    -------
    GroupNorm
    """
    return GroupNorm(math.gcd(channels, 8), silu=silu, epsilon=1e-5, dtype=dtype)


@keras.saving.register_keras_serializable("dipy_synth")
class GroupNorm(layers.GroupNormalization):
    """Keras' group normalisation with less kept for the backward pass: its input.

    Parameters
    ----------
    groups : int, optional
        Groups of channels.
    silu : bool, optional
        Apply SiLU to the result.
    **options
        As Keras takes them; channels are last.

    Notes
    -----
    Called with ``(image, film)`` it scales the result by 1 + the first half of ``film``
    (batch, 2 * channels) and adds the second half, before SiLU.

    References
    ----------
    Wu & He (2018). Group normalization. ECCV.
    Perez et al. (2018). FiLM: visual reasoning with a general conditioning layer. AAAI.
    """

    def __init__(self, groups=8, *, silu=False, **options):
        super().__init__(groups, **options)
        self.silu = silu

    def build(self, image_shape, film_shape=None):
        super().build(image_shape)

    def call(self, image, film=None):
        scale, shift = (
            ops.convert_to_tensor(self.gamma),
            ops.convert_to_tensor(self.beta),
        )
        if film is None:
            each = (ops.shape(image)[0], image.shape[-1])
            scale, shift = ops.broadcast_to(scale, each), ops.broadcast_to(shift, each)
        else:
            more, offset = ops.split(ops.cast(film, "float32"), 2, axis=-1)
            scale, shift = scale * (1 + more), shift * (1 + more) + offset
        return _normalise(self.groups, self.epsilon, self.silu)(image, scale, shift)

    def compute_output_shape(self, image_shape, film_shape=None):
        return image_shape

    def get_config(self):
        return {**super().get_config(), "silu": self.silu}


def _normalise(groups, epsilon, silu):
    """Give the function of images (batch, *spatial, channels), scales and shifts
    (batch, channels) that normalises them, with a gradient from its arguments alone.
    """

    def voxels(image):
        """Give (batch, voxels, channels)."""
        return ops.reshape(image, (ops.shape(image)[0], -1, image.shape[-1]))

    def grouped(values):
        """Give (batch, groups, channels of a group)."""
        return ops.reshape(values, (-1, groups, values.shape[-1] // groups))

    def over_group(values):
        return ops.mean(values, axis=-1, keepdims=True)

    @ops.custom_gradient
    def normalise(image, scale, shift):
        x, width, each = voxels(image), image.shape[-1], grouped(scale)
        x = ops.cast(x, "float32")
        center = ops.mean(x, axis=1, keepdims=True)  # of channels, then of groups
        square = grouped(ops.mean(ops.square(x - center), axis=1))
        center = grouped(center)
        mean = over_group(center)
        square = square + ops.square(center - mean)
        spread = ops.rsqrt(over_group(square) + epsilon)
        factor = each * spread
        offset = ops.reshape(grouped(shift) - mean * factor, (-1, 1, width))
        factor = ops.reshape(factor, (-1, 1, width))

        def gradient(*args, upstream=None):
            dy = voxels(args[0] if upstream is None else upstream)
            # a graph computes what it can ahead, and would keep it: wait for dy
            x = ops.cast(voxels(image) + 0 * dy[:, :1], "float32")
            dy = ops.cast(dy, "float32")
            if silu:
                y = x * factor + offset
                gate = ops.sigmoid(y)
                dy = dy * (gate * (1 + y * (1 - gate)))
            plain = grouped(ops.sum(dy, axis=1))
            along = (grouped(ops.sum(dy * x, axis=1)) - mean * plain) * spread
            share = 1 / ops.cast(ops.shape(x)[1], "float32")
            slope = over_group(along * each) * ops.square(spread) * share
            level = over_group(plain * each) * spread * share - mean * slope
            slope, level = (
                ops.reshape(ops.broadcast_to(n, ops.shape(each)), (-1, 1, width))
                for n in (slope, level)
            )
            dx = ops.cast(dy * factor - x * slope - level, image.dtype)
            small = (ops.reshape(n, (-1, width)) for n in (along, plain))
            return ops.reshape(dx, ops.shape(image)), *small

        y = x * factor + offset
        y = ops.cast(ops.silu(y) if silu else y, image.dtype)
        return ops.reshape(y, ops.shape(image)), gradient

    return normalise
