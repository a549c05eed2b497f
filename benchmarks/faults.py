"""Faults of a latent diffusion model that the package does not offer, to measure them.

original.py plants them one at a time: batch normalisation in the U-Net, and a sampler
that cuts the mean of every step.
"""

from contextlib import ExitStack
from unittest.mock import patch

from keras import layers, ops
import numpy as np

from dipy_synth.diffusion.samplers import sample_ddpm
from dipy_synth.networks.unet import UNet
from dipy_synth.training import building

UNET = {"widths": (32, 64), "blocks": 1, "attention": (False, True)}
NETWORKS = "dipy_synth.networks."


class BatchNorm(layers.BatchNormalization):
    """Batch normalisation, then FiLM and SiLU, in place of `LayerNorm`."""

    def __init__(self, *, silu=True, dtype=None):
        super().__init__(dtype=dtype)
        self.silu = silu

    def build(self, image_shape, film_shape=None):
        super().build(image_shape)

    def call(self, image, film=None, training=None):
        image = super().call(image, training=training)
        if film is not None:
            wide = (-1, *[1] * (len(image.shape) - 2), film.shape[-1])
            more, offset = ops.split(ops.reshape(film, wide), 2, axis=-1)
            image = image * (1 + more) + offset
        return ops.silu(image) if self.silu else image

    def compute_output_shape(self, image_shape, film_shape=None):
        return image_shape


class TwoModes(UNet):
    """A U-Net that passes `training` to its layers."""

    def call(self, inputs, training=False):
        return super().call(inputs)


def make_unet(shape, norm, settings, **options):
    """Make the denoiser, with its own or with batch normalisation."""
    with ExitStack() as stack:
        stack.enter_context(building(settings))
        if norm != "batch":
            return UNet(shape, **UNET, **options)
        for module in ("denoising_blocks", "unet"):
            stack.enter_context(patch(f"{NETWORKS}{module}.LayerNorm", BatchNorm))
        stack.enter_context(patch(f"{NETWORKS}attention.group_norm", _without_silu))
        return TwoModes(shape, **UNET, **options)


def _without_silu(channels, *, dtype=None):
    return BatchNorm(silu=False, dtype=dtype)


def sample_clipped(denoise, noise, times, schedule, *, draw, callback=None):
    """Sample as DDPM does, but cut the mean of every step to [-1, 1]."""
    x = noise
    for number, (t, later) in enumerate(zip(times, times[1:])):
        pair = np.array([t, later])
        mean = sample_ddpm(denoise, x, pair, schedule, draw=lambda _: 0.0)
        sigma, after = (float(schedule.sigma(s)) for s in pair)
        ratio = float(schedule.alpha(t)) / float(schedule.alpha(later))
        spread = (sigma**2 - (ratio * after) ** 2) * (after / sigma) ** 2
        x = np.clip(mean, -1, 1) + np.sqrt(max(spread, 0)) * draw(number)
    return np.clip(mean, -1, 1)
