"""Adversarial training: the hinge, and who learns what."""

import keras
import numpy as np
import pytest

from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.discriminator import (
    AdversarialTraining,
    foreground_patches,
    hinge_loss,
)

SHAPE = (8, 16)


def images(n=4):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (n, *SHAPE, 1)).astype("float32")


def autoencoder():
    keras.utils.set_random_seed(0)
    return make_autoencoder(
        {"architecture": "residual", "shape": SHAPE, "channels": (4, 4)}
    )


def test_hinge_is_two_by_chance_and_zero_when_separated():
    ones = np.ones((2, 3, 1), "float32")
    assert float(hinge_loss(0 * ones, 0 * ones)) == pytest.approx(2)
    assert float(hinge_loss(2 * ones, -2 * ones)) == pytest.approx(0)
    assert float(hinge_loss(-ones, ones)) == pytest.approx(4)
    first = np.zeros((2, 3, 1), "float32")
    first[:, 0] = 1
    assert float(hinge_loss(first, -first, first)) == pytest.approx(0)


def test_patches_of_the_background_do_not_count():
    """What differs in the background alone cannot be distinguished."""
    x = images(2)
    x[:, :, 8:] = -1
    inside = np.array(foreground_patches(x))
    assert inside.shape == (2, 4, 8, 1)
    np.testing.assert_array_equal(inside[:, :, :4], 1)
    np.testing.assert_array_equal(inside[:, :, 4:], 0)


def one_step(strength):
    """Return the autoencoder's weights after a step; None: without a discriminator."""
    network = autoencoder()
    model = network if strength is None else AdversarialTraining(network, channels=(4,))
    if strength is not None:
        model.strength.assign(strength)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.train_on_batch(images())
    return [np.array(w) for w in network.trainable_weights]


def test_a_discriminator_of_weight_0_changes_nothing():
    alone, without, weighted = one_step(None), one_step(0.0), one_step(1.0)
    for one, other in zip(alone, without, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
    assert max(np.abs(a - w).max() for a, w in zip(alone, weighted)) > 1e-4


def test_its_weight_moves_the_autoencoder_alone():
    """However strong, the discriminator itself learns the same."""
    discriminators = []
    for strength in (0.0, 5.0):
        keras.utils.set_random_seed(1)
        model = AdversarialTraining(autoencoder(), channels=(4,))
        model.strength.assign(strength)
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        model.train_on_batch(images())
        discriminators.append(
            [np.array(w) for w in model.discriminator.trainable_weights]
        )
    for one, other in zip(*discriminators, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_discriminator_learns_unless_the_autoencoder_trains_against_it():
    """Its loss falls at weight 0; an autoencoder trained against it raises it."""
    x, losses = images(8), {}
    for strength in (0.0, 20.0):
        keras.utils.set_random_seed(1)
        model = AdversarialTraining(autoencoder(), channels=(8,))
        model.compile(keras.optimizers.Adam(1e-2))
        for step in range(45):
            model.strength.assign(strength if step > 14 else 0.0)
            model.reset_metrics()
            found = model.train_on_batch(x, return_dict=True)
        losses[strength] = found["discriminator"]
    assert losses[0.0] < 1
    assert losses[20.0] > losses[0.0] + 0.2


def test_validation_is_the_autoencoders_own():
    network, x = autoencoder(), images()
    model = AdversarialTraining(network)
    model.compile("sgd")
    network.compile("sgd")
    found, own = (m.evaluate(x, return_dict=True, verbose=0) for m in (model, network))
    assert found == pytest.approx(own)
