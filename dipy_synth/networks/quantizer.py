"""Quantisers: what makes the autoencoder's latents discrete. float32 inside."""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.networks.codebook import VectorQuantizer


@keras.saving.register_keras_serializable("dipy_synth")
class FSQ(layers.Layer):
    """Finite scalar quantisation: each latent channel is rounded to a few levels.

    The codebook is the product of the channels' levels and is never stored, so no
    code can die. Gradients pass the rounding unchanged (straight-through).

    Parameters
    ----------
    levels : sequence of int
        Levels per channel, equally spaced on [-1, 1]. Channels that vary more
        deserve more of them.

    Attributes
    ----------
    channels : int
        Latent channels, one for each of `levels`.
    sizes : tuple of int
        The levels: each channel is a codebook of its own.

    Notes
    -----
    Called on latents ``(batch, *spatial, len(levels))`` it gives the quantised
    latents of the same shape; with ``return_indices`` the indices too. Values beyond
    [-1, 1] are clipped; a loss term pulls them back (`overflow` weight), since the clip
    alone has no gradient there.

    References
    ----------
    Mentzer et al. (2024). Finite scalar quantization: VQ-VAE made simple. ICLR.
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
        """Give the level of each channel.

        Parameters
        ----------
        latents : tensor (batch, *spatial, channels)
            Continuous or quantised latents.

        Returns
        -------
        tensor (batch, *spatial, channels), int32
            Values from 0 to ``levels - 1``.
        """
        rounded = ops.round((ops.clip(latents, -1, 1) + 1) * self._half())
        return ops.cast(rounded, "int32")

    def lookup(self, indices):
        """Give the quantised latents of indices.

        Parameters
        ----------
        indices : tensor (batch, *spatial, channels), int
            As `indices` gives them.

        Returns
        -------
        tensor (batch, *spatial, channels), float32
            Values in [-1, 1].
        """
        half = self._half()
        return (ops.cast(indices, "float32") - half) / half

    def _half(self):
        half = (np.asarray(self.levels, "float32") - 1) / 2
        return ops.convert_to_tensor(half)  # torch turns array * tensor into an array

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}


@keras.saving.register_keras_serializable("dipy_synth")
class CodeUsage(keras.metrics.Metric):
    """How much of the codebooks an epoch uses: its logs are usage and perplexity.

    Parameters
    ----------
    sizes : sequence of int
        Codes of each book, as a quantiser's ``sizes``.

    Notes
    -----
    ``update_state`` takes indices (..., len(sizes)). A model owns one, finds indices in
    ``call`` and counts them in ``compute_metrics``: on JAX the one may not count, and
    the other sees no weights.
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
        book = ops.convert_to_tensor(np.repeat(np.arange(n), self.sizes), "int32")
        sizes = ops.convert_to_tensor(self.sizes, "float32")
        total = ops.take(ops.segment_sum(counts, book, n), book)
        share = counts / ops.maximum(total, 1.0)
        entropy = -share * ops.log(ops.maximum(share, 1e-30))
        met = ops.segment_sum(ops.cast(share > 0, "float32"), book, n)
        perplexity = ops.exp(ops.segment_sum(entropy, book, n))
        return {
            "usage": ops.mean(met / sizes),
            "perplexity": ops.mean(perplexity / sizes),
        }

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes}


def usage(indices, sizes):
    """Measure how much of the codebooks the indices of many images use.

    Parameters
    ----------
    indices : array (..., books), int
        As a quantiser's ``indices`` gives them.
    sizes : sequence of int
        Codes of each book.

    Returns
    -------
    usage : float
        Share of the codes met at least once, mean over books.
    perplexity : float
        Exponential of the codes' entropy over their number, mean over books.
    """
    found = np.asarray(ops.convert_to_numpy(indices)).reshape(-1, len(sizes))
    counts = [np.bincount(column, minlength=n) for column, n in zip(found.T, sizes)]
    shares = [count / count.sum() for count in counts]
    entropy = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in shares]
    met = np.mean([np.mean(count > 0) for count in counts])
    return float(met), float(np.mean(np.exp(entropy) / np.asarray(sizes)))


QUANTIZERS = {"fsq": FSQ, "vq": VectorQuantizer}


def make_quantizer(config):
    """Make a quantiser.

    Parameters
    ----------
    config : dict
        ``name``, one of ``fsq`` and ``vq``, and that quantiser's arguments.

    Returns
    -------
    FSQ or VectorQuantizer

    Raises
    ------
    InputError
        If the name or an argument is unknown.
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
