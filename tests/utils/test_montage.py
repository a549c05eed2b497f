"""Montages of mid-slices."""

import matplotlib.pyplot as plt
import numpy as np

from dipy_synth.utils.montage import difference_images, save_montage, stacked_slices


def test_slices_of_unequal_width_are_centred_on_the_background_of_the_volume():
    difference = np.full((4, 8, 6), 0.5)
    difference[2, 4, 3] = 1
    stacked = stacked_slices(difference)
    assert stacked.shape == (6 + 6 + 8, 8)
    assert np.count_nonzero(stacked == 1) == 3
    assert set(np.unique(stacked)) == {0.5, 1}


def test_differences_are_grey_where_volumes_are_equal_and_clipped():
    one, other = np.array([0.2, 0.2, 0.0]), np.array([0.2, 0.1, 1.0])
    (found,) = difference_images([one], [other])
    np.testing.assert_allclose(found, [0.5, 0.4, 1])


def test_a_montage_has_two_pixels_a_voxel(tmp_path):
    volume = np.zeros((4, 6, 5), "float32")
    volume[2, 3, 2] = 1
    save_montage(tmp_path / "a.png", [[volume] * 4, [volume]], titles=["a", "b"])
    picture = plt.imread(tmp_path / "a.png")[..., 0]
    assert picture.shape == (2 * 2 * (5 + 5 + 6) + 3 * 18, 2 * 4 * 6)
    strip = picture[18 : 18 + 2 * (5 + 5 + 6)]
    assert set(np.unique(strip)) == {0, 1} and np.count_nonzero(strip) == 4 * 3 * 4
