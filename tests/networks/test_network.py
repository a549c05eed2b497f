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


@pytest.mark.parametrize("make", [unet, autoencoder, adversarial])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_saved_network_keeps_name_and_precision(tmp_path, make, policy):
    with default_precision(policy):
        network = make()
    assert keras.config.dtype_policy().name == "float32"
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    assert (again.name, again.dtype_policy.name) == ("mine", policy)
    parts, others = (n._flatten_layers() for n in (network, again))
    assert [p.compute_dtype for p in parts] == [p.compute_dtype for p in others]
    for ours, theirs in zip(network.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    assert keras.config.dtype_policy().name == "float32"


def test_the_architecture_has_neither_name_nor_precision():
    with default_precision("mixed_bfloat16"):
        half = unet()
    other = UNet((8, 8, 3), widths=(8,), blocks=1)
    assert arguments_of(half) == arguments_of(other) == half.arguments()
    assert half.get_config() != other.get_config()
