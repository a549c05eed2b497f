"""Callbacks of the autoencoder's training."""

import keras
from keras import ops

from dipy_synth.networks.conversion import in_batches


class StartCodebook(keras.callbacks.Callback):
    """Initialise a codebook by k-means of the encoder's latents after a warm-up.

    Before, latents pass unquantised. So the first codes are within the distribution of
    latents, and few are dead :footcite:p:`lancucki2020robust`. A started codebook is
    not changed.

    Parameters
    ----------
    network : Autoencoder
        The network in training.
    images : array of shape (n, *shape, 1)
        Training images in [-1, 1].
    epoch : int
        The epoch, counted from 0, before which the codebook is initialised.
    seed : int, optional
        Seed of the clustering.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, network, images, *, epoch, seed=0):
        super().__init__()
        self.network, self.images = network, images
        self.epoch, self.seed = epoch, seed

    def on_epoch_begin(self, epoch, logs=None):
        quantizer = self.network.quantizer
        if epoch < self.epoch or bool(ops.convert_to_numpy(quantizer.started)):
            return
        latents = in_batches(self.network.encode, self.images, 1)
        quantizer.start(latents, seed=self.seed)


class AdversarialRamp(keras.callbacks.Callback):
    """Raise the weight of the adversarial loss after the discriminator has learned.

    Parameters
    ----------
    weight : float
        Final weight of the adversarial loss.
    epochs : int
        Number of epochs of the training.
    """

    start, length = 0.17, 0.1  # fractions of the training: at 0, and growing from it

    def __init__(self, weight, epochs):
        super().__init__()
        self.weight, self.epochs = weight, epochs

    def on_epoch_begin(self, epoch, logs=None):
        """Set the weight for an epoch."""
        # at the end of the epoch: the last one has the full weight
        grown = ((epoch + 1) / self.epochs - self.start) / self.length
        self.model.strength.assign(self.weight * min(max(grown, 0.0), 1.0))
