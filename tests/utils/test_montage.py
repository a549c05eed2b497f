"""Montages of mid-slices."""

import numpy as np

from dipy_synth.utils.montage import stacked_slices


def test_slices_of_unequal_width_are_centred_on_the_background_of_the_volume():
    difference = np.full((4, 8, 6), 0.5)
    difference[2, 4, 3] = 1
    stacked = stacked_slices(difference)
    assert stacked.shape == (6 + 6 + 8, 8)
    assert np.count_nonzero(stacked == 1) == 3
    assert set(np.unique(stacked)) == {0.5, 1}
