"""Quantisers of the autoencoder's latents, in float32."""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.networks.codebook import VectorQuantizer


@keras.saving.register_keras_serializable("dipy_synth")
class FSQ(layers.Layer):
    """Finite scalar quantisation: each latent channel is rounded to a few levels.

    The codebook :footcite:p:`mentzer2024fsq` is the product of the channels' levels and
    is never stored, so no code can die. Gradients pass the rounding unchanged
    (straight-through).

    Parameters
    ----------
    levels : sequence of int
        Number of levels per channel, equally spaced on [-1, 1]. Channels of larger
        variance need more of them.

    Attributes
    ----------
    channels : int
        Latent channels, one for each of `levels`.
    sizes : tuple of int
        The levels: each channel is a codebook of its own.

    Notes
    -----
    Called on latents ``(batch, *spatial, len(levels))`` it returns the quantised
    latents of the same shape; with ``return_indices`` also the indices. Values beyond
    [-1, 1] are clipped; a loss term pulls them back (`overflow` weight), since the clip
    alone has no gradient there.

    References
    ----------
    .. footbibliography::
    """

    overflow = 1.0

    def __init__(self, levels, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.levels = tuple(int(n) for n in levels)
        if min(self.levels) < 2:
            raise InputError(f"FSQ needs at least 2 levels per channel, got {levels}")
        self.channels, self.sizes = len(self.levels), self.levels

    def call(self, latents, training=False, return_indices=False):
        excess = ops.relu(ops.abs(latents) - 1)
        self.add_loss(self.overflow * ops.mean(ops.square(excess)))
        half = self._half()
        clipped = ops.clip(latents, -1, 1)
        quantised = (ops.round((clipped + 1) * half) - half) / half
        passed = clipped + ops.stop_gradient(quantised - clipped)
        return (passed, self.indices(latents)) if return_indices else passed

    def indices(self, latents):
        """Compute the level of each channel.

        Parameters
        ----------
        latents : tensor of shape (batch, *spatial, channels)
            Continuous or quantised latents.

        Returns
        -------
        tensor of shape (batch, *spatial, channels), int32
            Values from 0 to ``levels - 1``.
        """
        rounded = ops.round((ops.clip(latents, -1, 1) + 1) * self._half())
        return ops.cast(rounded, "int32")

    def _half(self):
        half = (np.asarray(self.levels, "float32") - 1) / 2
        return ops.convert_to_tensor(half)  # in torch, array * tensor is an array

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}


@keras.saving.register_keras_serializable("dipy_synth")
class CodeUsage(keras.metrics.Metric):
    """Usage and perplexity of the codebooks over an epoch, as a Keras metric.

    Parameters
    ----------
    sizes : sequence of int
        Codes of each codebook, as a quantiser's ``sizes``.

    Notes
    -----
    ``update_state`` takes indices (..., len(sizes)). A model computes indices in
    ``call`` and counts them in ``compute_metrics``: on JAX the former has no metric
    state, and the latter no weights.
    """

    def __init__(self, sizes, *, name="code_usage", **kwargs):
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        self.sizes = tuple(int(n) for n in sizes)
        self.counts = self.add_variable((sum(self.sizes),), "zeros", name="counts")

    def update_state(self, indices, sample_weight=None):
        first = ops.convert_to_tensor(np.cumsum((0, *self.sizes[:-1])), "int32")
        rows = ops.reshape(ops.cast(indices, "int32") + first, (-1,))
        met = ops.segment_sum(ops.ones_like(rows, "float32"), rows, sum(self.sizes))
        self.counts.assign(self.counts + met)

    def result(self):
        n, counts = len(self.sizes), ops.convert_to_tensor(self.counts)
        codebook = ops.convert_to_tensor(np.repeat(np.arange(n), self.sizes), "int32")
        sizes = ops.convert_to_tensor(self.sizes, "float32")
        total = ops.take(ops.segment_sum(counts, codebook, n), codebook)
        share = counts / ops.maximum(total, 1.0)
        entropy = -share * ops.log(ops.maximum(share, 1e-30))
        met = ops.segment_sum(ops.cast(share > 0, "float32"), codebook, n)
        perplexity = ops.exp(ops.segment_sum(entropy, codebook, n))
        return {
            "usage": ops.mean(met / sizes),
            "perplexity": ops.mean(perplexity / sizes),
        }

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes}


def usage(indices, sizes):
    """Compute usage and perplexity of the codebooks over many images: two floats.

    Usage is the fraction of the codes used at least once, perplexity the exponential of
    the codes' entropy over their number, both means over codebooks. Arguments are those
    of `CodeUsage`.
    """
    counter = CodeUsage(sizes)
    counter.update_state(indices)
    return tuple(float(value) for value in counter.result().values())


QUANTIZERS = {"fsq": FSQ, "vq": VectorQuantizer}


def make_quantizer(config):
    """Make the FSQ or VectorQuantizer of a dict of its ``name`` and arguments.

    Raises
    ------
    InputError
        If the name, ``fsq`` or ``vq``, or an argument is unknown.
    """
    kind = QUANTIZERS.get(config.get("name"))
    if kind is None:
        raise InputError(
            f"quantizer {config.get('name')!r}: expected one of {', '.join(QUANTIZERS)}"
        )
    try:
        return kind(**{**config, "name": "quantizer"})
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"quantizer {config}: {error}") from error
