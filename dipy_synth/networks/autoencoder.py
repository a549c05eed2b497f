"""Base of all autoencoders: interface, loss, and usage of the codes.

An architecture maps images to latents and back; the quantiser between the two makes
them discrete. `dipy_synth.networks.architectures` lists the architectures.
"""

from keras import ops

from dipy_synth.errors import InputError
from dipy_synth.networks.losses import (
    DISTANCES,
    frequency_distance,
    gradient_distance,
    voxel_distance,
)
from dipy_synth.networks.network import Network
from dipy_synth.networks.quantizer import CodeUsage, make_quantizer


class Autoencoder(Network):
    """Map images to a small grid of discrete latents, and back.

    It is a VQ-VAE :footcite:p:`oord2017vqvae`. A subclass names its `architecture` and
    the `factor` by which it shrinks an image, makes its layers, and defines `encode`
    and `reconstruct`.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the images: two or three multiples of `factor`.
    quantizer : dict
        The quantiser, as `make_quantizer` takes it: ``{"name": "fsq", "levels":
        (8, 5, 5)}`` or ``{"name": "vq", "codes": 256, "width": 32}``.
    distance : {"l1", "l2"}, optional
        Distance of voxels: absolute or squared difference.
    background_weight : float, optional
        Weight of background voxels in the loss; the foreground has 1.
    gradient_weight : float, optional
        Weight of the L1 loss of finite differences.
    frequency_weight : float, optional
        Weight of the L1 loss of the magnitudes of Haar detail coefficients.

    Notes
    -----
    Images are ``(batch, *shape, 1)`` in [-1, 1] with the background exactly -1; with
    labels, ``(batch, *shape, 1 + labels)``, see `dipy_synth.networks.label_path`.
    Latents are ``(batch, *latent_shape)``.

    References
    ----------
    .. footbibliography::
    """

    architecture = None
    factor = 4
    labels = 0  # labels beside the image, each a channel

    def __init__(
        self,
        shape,
        *,
        quantizer,
        distance="l1",
        background_weight=0.1,
        gradient_weight=0.5,
        frequency_weight=0.0,
        **kwargs,
    ):
        # the images stay float32: bfloat16 would round their brightness to 1 %
        super().__init__(autocast=False, **kwargs)
        self.shape = tuple(int(n) for n in shape)
        if len(self.shape) not in (2, 3) or any(n % self.factor for n in self.shape):
            raise InputError(
                f"image shape {self.shape}: expected 2 or 3 multiples of {self.factor}"
            )
        if distance not in DISTANCES:
            raise InputError(
                f"distance {distance!r}: expected one of {', '.join(DISTANCES)}"
            )
        self.quantizer = make_quantizer(quantizer)
        self.code_usage = CodeUsage(self.quantizer.sizes)
        self._options = {
            "quantizer": dict(quantizer),
            "distance": distance,
            "background_weight": background_weight,
            "gradient_weight": gradient_weight,
            "frequency_weight": frequency_weight,
        }

    @staticmethod
    def two_widths(channels):
        """Check the widths at the two resolutions: tuple of int, (2,)."""
        if len(channels) != 2:
            raise InputError(f"channels {tuple(channels)}: expected two widths")
        return tuple(int(n) for n in channels)

    @property
    def rank(self):
        """Number of spatial axes, 2 or 3."""
        return len(self.shape)

    @property
    def latent_shape(self):
        """Shape of one image's latents, ``(*spatial, channels)``."""
        return (*(n // self.factor for n in self.shape), self.quantizer.channels)

    def encode(self, images):
        """Encode images to continuous, not yet quantised latents, in float32."""
        raise NotImplementedError

    def reconstruct(self, quantised):
        """Decode quantised latents to images, mostly in [-1, 1]; not clipped."""
        raise NotImplementedError

    def decode(self, latents):
        """Quantise latents, continuous or quantised, and decode them."""
        return self.reconstruct(self.quantizer(latents))

    def patch_basis(self):
        """Return the patches that latents stand for, or None without a linear path.

        They are two matrices: latents times `coordinates` (channels, channels) are
        orthonormal coordinates of patches of `factor` voxels a side; times `unfolding`
        (channels, factor ** rank), those are the voxels of the patch, row-major.
        """

    def freeze_encoder(self):
        """Freeze encoder and quantiser, so that training changes the decoder alone."""
        for part in (*self.encoder_parts, self.quantizer):
            part.trainable = False

    @property
    def encoder_parts(self):
        """Layers that make the latents: tuple."""
        raise NotImplementedError

    def initialize(self, images, *, seed=0):
        """Initialise from training images, where an architecture can."""

    def call(self, images, training=False):
        """Encode and decode.

        Returns a dict of ``images``; ``latents`` before quantisation; and ``indices``
        of their codes (batch, *spatial, codebooks).
        """
        latents = self.encode(images)
        # indices too: metrics, which count them, see no codes on JAX
        quantised, indices = self.quantizer(
            latents,
            training=training and self.quantizer.trainable,
            return_indices=True,
        )
        decoded = self.reconstruct(quantised)
        return {"images": decoded, "latents": latents, "indices": indices}

    def reconstruction_loss(self, images, decoded):
        """Compute the weighted sum of the loss terms, each a mean."""
        x = ops.cast(images[..., :1], "float32")
        y = ops.cast(decoded[..., :1], "float32")
        chosen = self._options
        loss = voxel_distance(
            x,
            y,
            distance=chosen["distance"],
            background_weight=chosen["background_weight"],
        )
        for name, term in (
            ("gradient_weight", gradient_distance),
            ("frequency_weight", frequency_distance),
        ):
            if chosen[name]:
                loss += chosen[name] * term(x, y)
        return loss

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        """Compute the reconstruction loss plus the quantiser's own term."""
        return self.reconstruction_loss(x, y_pred["images"]) + sum(self.losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Compute usage and perplexity of the codes, over an epoch."""
        self.code_usage.update_state(y_pred["indices"])
        return self.get_metrics_result()

    def arguments(self):
        return {"architecture": self.architecture, "shape": self.shape, **self._options}

    @classmethod
    def from_config(cls, config):
        return super().from_config(
            {k: v for k, v in config.items() if k != "architecture"}
        )
