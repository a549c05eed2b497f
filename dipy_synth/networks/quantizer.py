"""Quantisers: what makes the autoencoder's latents discrete. float32 inside."""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.errors import InputError


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

    Notes
    -----
    Called on latents ``(batch, *spatial, len(levels))`` it gives the quantised
    latents of the same shape. Values beyond [-1, 1] are clipped; a loss term pulls
    them back (`overflow` weight), since the clip alone has no gradient there.

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

    def call(self, latents):
        excess = ops.relu(ops.abs(latents) - 1)
        self.add_loss(self.overflow * ops.mean(ops.square(excess)))
        half = self._half()
        clipped = ops.clip(latents, -1, 1)
        quantised = (ops.round((clipped + 1) * half) - half) / half
        return clipped + ops.stop_gradient(quantised - clipped)

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

    def usage(self, latents):
        """Measure how much of the levels a set of latents uses.

        Parameters
        ----------
        latents : array (n, *spatial, channels)
            Latents of many images.

        Returns
        -------
        usage : float
            Share of the levels met at least once, mean over channels.
        perplexity : float
            Exponential of the levels' entropy over their number, mean over channels.
        """
        found = np.asarray(self.indices(latents)).reshape(-1, len(self.levels))
        counts = [np.bincount(c, minlength=n) for c, n in zip(found.T, self.levels)]
        shares = [count / count.sum() for count in counts]
        entropy = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in shares]
        usage = np.mean([np.mean(count > 0) for count in counts])
        return float(usage), float(np.mean(np.exp(entropy) / self.levels))

    def _half(self):
        return (np.asarray(self.levels, "float32") - 1) / 2

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}
