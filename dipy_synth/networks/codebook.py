"""Vector quantisation with codebooks learned by moving averages, in float32."""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.utils.random import random_stream

TINY = 1e-5
BLOCK = 2**22  # distances (positions x codebooks x codes) in memory at a time


@keras.saving.register_keras_serializable("dipy_synth")
class VectorQuantizer(layers.Layer):
    """Quantise latents to the nearest code of a learned codebook.

    Codes are moving averages of the latents assigned to them
    (:footcite:p:`oord2017vqvae`, appendix A.1; :footcite:p:`razavi2019vqvae2`).
    Gradients pass straight through; the commitment term moves latents to their codes. A
    code that is rarely used is reset to a latent of the batch. Before `start` is called
    latents pass unquantised.

    Parameters
    ----------
    codes : int
        Codes in a codebook.
    width : int
        Length of a code.
    codebooks : int, optional
        Number of codebooks, each for ``width`` of the latent channels.
    decay : float, optional
        Decay of the moving averages per step.
    commitment : float, optional
        Weight of the mean squared distance between latents and their codes.
    restart : float, optional
        A code used less often than this fraction of 1 / codes is reset; 0 for never.
    seed : int, optional
        Seed of the first codes and of the resets.

    Attributes
    ----------
    channels : int
        Latent channels, ``codebooks * width``.
    sizes : tuple of int
        Codes of each codebook.

    Notes
    -----
    A code is its moving sum of latents over its moving count with Laplace smoothing.
    Counts are in units of an equal share of the positions, so that neither batch size
    nor image size changes their meaning. Called on ``(batch, *spatial, channels)`` it
    returns the same shape; with ``return_indices`` also the indices of `indices`. A
    model must pass ``training`` on: Keras' fit on JAX does not set it by itself, and
    the codes would not be updated.

    References
    ----------
    .. footbibliography::
    """

    def __init__(
        self,
        codes,
        width,
        *,
        codebooks=1,
        decay=0.99,
        commitment=0.25,
        restart=0.05,
        seed=0,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if codes < 2 or min(width, codebooks) < 1:
            raise InputError(
                f"codes {codes}, width {width}, codebooks {codebooks}: expected at "
                "least 2, 1 and 1"
            )
        if not (0 <= decay < 1 and 0 <= restart < 1):
            raise InputError(f"decay {decay}, restart {restart}: expected in [0, 1)")
        self.codes, self.width, self.codebooks = int(codes), int(width), int(codebooks)
        self.decay, self.commitment, self.restart = decay, commitment, restart
        self.seed = seed
        self.channels = self.codebooks * self.width
        self.sizes = (self.codes,) * self.codebooks
        self._add_weights()

    def _add_weights(self):
        """Add the state; its mean over replicas is that of the joint batch."""
        own = {"trainable": False, "aggregation": "mean"}
        shape = (self.codebooks, self.codes)
        first = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
        self.usage = self.add_weight(shape, "ones", name="usage", **own)
        self.sums = self.add_weight((*shape, self.width), first, name="sums", **own)
        self.started = self.add_weight((), "zeros", name="started", **own)
        self.draws = keras.random.SeedGenerator(self.seed)

    def call(self, latents, training=False, return_indices=False):
        flat = self._flatten(latents)
        codes, still = self._codes(), ops.stop_gradient(flat)
        found = nearest(still, codes)
        quantised = self._take(codes, found)
        gap = ops.square(flat - quantised)
        self.add_loss(self.started * self.commitment * ops.mean(gap))
        if training:
            self._update_codes(still, found, ops.stop_gradient(gap))
        passed = flat + ops.stop_gradient(quantised - flat)
        shape = ops.shape(latents)
        on = ops.convert_to_tensor(self.started) > 0
        passed = ops.reshape(ops.where(on, passed, flat), shape)
        found = ops.reshape(found, (*shape[:-1], self.codebooks))
        return (passed, found) if return_indices else passed

    def indices(self, latents):
        """Compute the index of the nearest code of each codebook.

        Parameters
        ----------
        latents : tensor of shape (batch, *spatial, channels)
            Continuous or quantised latents.

        Returns
        -------
        tensor of shape (batch, *spatial, codebooks), int32
            Values from 0 to ``codes - 1``.
        """
        latents = ops.convert_to_tensor(latents)
        found = nearest(self._flatten(latents), self._codes())
        return ops.reshape(found, (*ops.shape(latents)[:-1], self.codebooks))

    def start(self, latents, seed):
        """Initialise the codes by k-means of latents, and enable quantisation.

        Parameters
        ----------
        latents : array of shape (n, *spatial, channels)
            Latents of training images, of at least ``codes`` positions in all.
        seed : int
            Random seed.

        Raises
        ------
        InputError
            If the latents are too few, or not finite.
        """
        flat = ops.convert_to_numpy(self._flatten(ops.convert_to_tensor(latents)))
        self.check_enough(len(flat))
        if not np.isfinite(flat).all():
            raise InputError("latents to start a codebook from: expected finite ones")
        rng = random_stream("codebook", seed=seed)
        codebooks = np.moveaxis(flat, 1, 0)
        found = [_k_means(codebook, self.codes, rng=rng) for codebook in codebooks]
        means, counts = (np.stack(parts) for parts in zip(*found))
        self.usage.assign(counts * (self.codes / counts.sum(axis=1, keepdims=True)))
        self.sums.assign(means * ops.convert_to_numpy(self._smoothed())[..., None])
        self.started.assign(1.0)

    def check_enough(self, positions):
        """Refuse to start from too few latents.

        Parameters
        ----------
        positions : int
            Number of latent positions, over all images.

        Raises
        ------
        InputError
            If they are fewer than the codes.
        """
        if positions < self.codes:
            raise InputError(
                f"{positions} latents to start {self.codes} codes from: expected at "
                "least as many (more training images, a finer grid or fewer codes)"
            )

    def _flatten(self, latents):
        """Reshape latents to (positions, codebooks, width)."""
        flat = ops.cast(latents, "float32")
        return ops.reshape(flat, (-1, self.codebooks, self.width))

    def _codes(self):
        """Return the codes (codebooks, codes, width)."""
        return ops.convert_to_tensor(self.sums) / self._smoothed()[..., None]

    def _smoothed(self):
        """Return the counts with Laplace smoothing, which keeps their sum."""
        usage = ops.convert_to_tensor(self.usage)
        total = ops.sum(usage, axis=1, keepdims=True)
        return (usage + TINY) / (total + self.codes * TINY) * total

    def _take(self, codes, found):
        """Gather the codes of indices (positions, codebooks); a last axis is added."""
        rows = ops.reshape(codes, (-1, self.width))
        return ops.stop_gradient(ops.take(rows, self._rows(found), axis=0))

    def _rows(self, found):
        """Return indices into the codes of all codebooks, numbered consecutively."""
        return found + ops.arange(self.codebooks, dtype="int32") * self.codes

    def _update_codes(self, flat, found, gap):
        """Update the moving averages by a batch, and reset dead codes."""
        rows, n = ops.reshape(self._rows(found), (-1,)), self.codebooks * self.codes
        equal = self.codes / ops.cast(ops.shape(flat)[0], "float32")
        counts = ops.segment_sum(ops.ones_like(rows, "float32"), rows, n)
        sums = ops.segment_sum(ops.reshape(flat, (-1, self.width)), rows, n)
        keep, add = self.decay, (1 - self.decay) * equal
        old_usage = ops.convert_to_tensor(self.usage)
        old_sums = ops.convert_to_tensor(self.sums)
        usage = keep * old_usage + add * ops.reshape(counts, self.usage.shape)
        sums = keep * old_sums + add * ops.reshape(sums, self.sums.shape)
        if self.restart:
            dead = old_usage < self.restart
            sums = ops.where(dead[..., None], self._draw(flat, gap, dead), sums)
            usage = ops.where(dead, ops.ones_like(usage), usage)
        on = ops.convert_to_tensor(self.started) > 0
        self.usage.assign(ops.where(on, usage, old_usage))
        self.sums.assign(ops.where(on, sums, old_sums))

    def _draw(self, flat, gap, dead):
        """Draw a latent for each dead code, by the squared distance to its own code.

        A uniform draw would select the background, which has codes already. Draws are
        stratified, so that few codes get the same latent.
        """
        reach = ops.cumsum(ops.transpose(ops.sum(gap, axis=-1)), axis=1)
        dead = ops.cast(dead, "float32")
        rank = ops.cumsum(dead, axis=1) - dead
        share = (rank + keras.random.uniform(dead.shape, seed=self.draws)) / (
            ops.maximum(ops.sum(dead, axis=1, keepdims=True), 1.0)
        )
        last = ops.shape(flat)[0] - 1
        drawn = []
        for codebook in range(self.codebooks):
            aims = share[codebook] * reach[codebook, -1]
            rows = ops.searchsorted(reach[codebook], aims, side="right")
            rows = ops.minimum(ops.cast(rows, "int32"), last)
            drawn.append(ops.take(flat[:, codebook], rows, axis=0))
        return ops.stack(drawn)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        names = "codes width codebooks decay commitment restart seed"
        own = {name: getattr(self, name) for name in names.split()}
        return {**super().get_config(), **own}


def nearest(latents, codes, *, block=BLOCK):
    """Find the nearest code of each latent, at most `block` distances at a time.

    From latents (positions, codebooks, width) and codes (codebooks, codes, width):
    (positions, codebooks), int32.
    """
    codebooks, size, _ = codes.shape
    n, most = ops.shape(latents)[0], max(1, block // (codebooks * size))
    chunks = (n + most - 1) // most
    rows = (n + chunks - 1) // chunks
    lengths = ops.sum(ops.square(codes), axis=-1)[:, None]
    across = ops.transpose(codes, (0, 2, 1))

    def search(chunk):
        # the last chunk repeats the last latent: all are of one size
        taken = ops.minimum(chunk * rows + ops.arange(rows, dtype="int32"), n - 1)
        part = ops.transpose(ops.take(latents, taken, axis=0), (1, 0, 2))
        # the latent's length is the same for all codes
        found = ops.argmin(lengths - 2 * ops.matmul(part, across), axis=-1)
        return ops.cast(ops.transpose(found), "int32")

    found = ops.map(search, ops.arange(chunks, dtype="int32"))
    return ops.reshape(found, (-1, codebooks))[:n]


def _k_means(points, codes, *, rng):
    """Cluster at most 64 points a code: means (codes, width) and their counts."""
    from sklearn.cluster import KMeans

    drawn = points[rng.permutation(len(points))[: 64 * codes]]
    seed = int(rng.integers(2**32))
    fitted = KMeans(codes, n_init=1, max_iter=20, random_state=seed).fit(drawn)
    return fitted.cluster_centers_, np.bincount(fitted.labels_, minlength=codes)
