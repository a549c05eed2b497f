"""Model folders that do not fit what they are read by."""

import keras
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.store import load_networks, read_config, save_model


def dense(units):
    return keras.Sequential(
        [keras.Input((3,)), *(keras.layers.Dense(n) for n in units)]
    )


@pytest.mark.parametrize("units", [(2,), (2, 4, 4), (2, 5)])
def test_weights_of_another_network_are_refused(tmp_path, units):
    network = dense((2, 4))
    save_model(tmp_path, kind="any", config={}, networks={"it": network})
    folder, config = read_config(tmp_path, kinds=("any",))
    found, _ = load_networks(folder, config, {"it": lambda _: dense((2, 4))})
    for ours, theirs in zip(found["it"].get_weights(), network.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match="other weights than the it"):
        load_networks(folder, config, {"it": lambda _: dense(units)})
