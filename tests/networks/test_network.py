"""What Keras saves of a network and reads back: architecture, name and precision."""

import keras
import numpy as np
import pytest

from dipy_synth.networks.discriminator import AdversarialTraining
from dipy_synth.networks.network import default_precision
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.networks.unet import UNet
from dipy_synth.utils.architecture import arguments_of


def unet():
    return UNet((8, 8, 3), widths=(8,), blocks=1, name="mine")


def autoencoder(name="mine"):
    quantizer = {"name": "fsq", "levels": (5, 5)}
    options = {"channels": (8, 8), "blocks": 1, "quantizer": quantizer}
    return PatchAutoencoder((8, 8), name=name, **options)


def adversarial():
    return AdversarialTraining(autoencoder("inner"), channels=(4, 4), name="mine")


def answer(network):
    """Return what a network makes of one batch."""
    rng = np.random.default_rng(0)
    if not isinstance(network, UNet):
        images = network(rng.uniform(-1, 1, (2, 8, 8, 1)).astype("float32"))["images"]
        return keras.ops.convert_to_numpy(images)
    latents = rng.standard_normal((2, 8, 8, 3)).astype("float32")
    inputs = {"latents": latents, "noise_level": np.zeros(2, "float32")}
    inputs["conditions"] = np.zeros((2, 0), "float32")
    return keras.ops.convert_to_numpy(network(inputs))


@pytest.mark.parametrize("make", [unet, autoencoder, adversarial])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_saved_network_keeps_name_and_precision(tmp_path, make, policy):
    with default_precision(policy):
        network = make()
    rng = np.random.default_rng(1)  # not at 0, where layers that start there are silent
    for weight in network.trainable_variables:
        weight.assign(0.3 * rng.standard_normal(weight.shape))
    assert keras.config.dtype_policy().name == "float32"
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    assert (again.name, again.dtype_policy.name) == ("mine", policy)
    for ours, theirs in zip(network.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    # equal to the last bit, so that every layer rounds as it did
    np.testing.assert_array_equal(answer(network), answer(again))
    assert keras.config.dtype_policy().name == "float32"


def test_the_architecture_has_neither_name_nor_precision():
    with default_precision("mixed_bfloat16"):
        half = unet()
    other = UNet((8, 8, 3), widths=(8,), blocks=1)
    assert arguments_of(half) == arguments_of(other) == half.arguments()
    assert half.get_config() != other.get_config()
