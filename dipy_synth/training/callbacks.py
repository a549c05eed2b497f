"""What happens between the epochs of an autoencoder's training."""

import keras
from keras import ops

from dipy_synth.networks.conversion import in_batches


class StartCodebook(keras.callbacks.Callback):
    """Start a codebook from the latents that the encoder gives after a warm-up.

    Until then latents pass unquantised. So the first codes lie where latents do, and
    few of them are never used. Nothing happens to a quantiser without codes of its own
    (FSQ), or to one that has been started.

    Parameters
    ----------
    network : Autoencoder
        The network in training.
    images : array (n, *shape, 1)
        Some training images in [-1, 1].
    epoch : int
        The epoch, counted from 0, before which the codebook starts.
    seed : int, optional
        Seed of the clustering.

    References
    ----------
    Lancucki et al. (2020). Robust training of vector quantized bottleneck models.
    IJCNN (codes from k-means of the data).
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
        Strength in the end.
    start : float
        Share of the training after which the strength grows from 0.
    epochs : int
        Epochs of the whole training.
    length : float, optional
        Share of the training in which it grows to `weight`.
    """

    def __init__(self, weight, start, epochs, *, length=0.1):
        super().__init__()
        self.weight, self.start = weight, start
        self.epochs, self.length = epochs, length

    def on_epoch_begin(self, epoch, logs=None):
        """Set the strength of an epoch."""
        # the end of the epoch: the last one of the training has the full strength
        grown = ((epoch + 1) / self.epochs - self.start) / self.length
        self.model.strength.assign(self.weight * min(max(grown, 0.0), 1.0))
