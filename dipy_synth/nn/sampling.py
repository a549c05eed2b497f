"""What lies between a sampler and the U-Net: noise per sample, and guidance."""

from keras import ops
import numpy as np


class NoiseStreams:
    """The noise of some samples, each from streams of its own.

    So a sample depends on the seed and its number alone, whatever else is in its batch.

    Parameters
    ----------
    seed : int
        The seed of all samples.
    numbers : sequence of int
        Numbers of the samples in the batch.
    shape : tuple of int
        Shape of one sample's noise.
    """

    def __init__(self, seed, numbers, shape):
        self.seed, self.numbers, self.shape = seed, tuple(numbers), tuple(shape)

    def start(self):
        """Give the noise to start from: ndarray (batch, *shape), float32."""
        return self._draw()

    def at_step(self, step):
        """Give the noise that is added after a step: ndarray (batch, *shape)."""
        return self._draw(step + 1)

    def _draw(self, *key):
        return np.stack(
            [
                np.random.default_rng([self.seed, number, *key]).standard_normal(
                    self.shape, dtype="float32"
                )
                for number in self.numbers
            ]
        )


def guided_denoiser(predict, schedule, conditions, guidance):
    """Give the expected latents as a function of state and time.

    With guidance, the prediction without conditions is moved towards, and past, the one
    with them. Where nothing was asked for the two are the same, and one is made.

    Parameters
    ----------
    predict : callable
        The network, from a dict as `UNet` takes it to its prediction.
    schedule : Schedule
        Turns predictions into images.
    conditions : array (batch, n_conditions)
        Encoded conditions; NaN where nothing is asked for.
    guidance : float
        Weight of the conditions; 1 is the network's own answer.

    Returns
    -------
    callable
        ``denoise(x_t, t)``, as the samplers take it.

    References
    ----------
    Ho & Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
    """
    open_ended = np.full_like(conditions, np.nan)
    guided = guidance != 1 and not np.isnan(conditions).all()

    def answer(x, t, wanted):
        inputs = {
            "latents": np.asarray(x, "float32"),
            "time": np.full(len(x), t, "float32"),
            "conditions": wanted,
        }
        # in training on several devices, each predicts the whole batch
        return ops.convert_to_numpy(predict(inputs))[: len(x)]

    def denoise(x, t):
        prediction = answer(x, t, conditions)
        if guided:
            plain = answer(x, t, open_ended)
            prediction = plain + guidance * (prediction - plain)
        return schedule.to_x0(prediction, x, t)

    return denoise
