"""From the network's images to clean volumes."""

import numpy as np

from dipy_synth.networks.conversion import from_network, in_batches, to_network


def test_there_and_back():
    volume = np.zeros((1, 8, 8, 8), "float32")
    volume[0, 2:6, 2:6, 2:6] = np.linspace(0.15, 1, 64).reshape(4, 4, 4)
    images = to_network(volume, (8, 8, 8))
    assert images.min() == -1 and images.max() == 1
    np.testing.assert_allclose(from_network(images), volume, atol=1e-6)


def test_background_is_exactly_zero_and_holes_and_second_pieces_stay():
    image = np.full((1, 32, 32, 1), -0.8, "float32")  # brightness 0.1: background
    image[0, 2:20, 2:14] = 0.5
    image[0, 4, 4] = -0.8  # dark, but inside
    image[0, 24:28, 24:28] = 0.2  # a second piece, not small
    image[0, 31, 0] = 0.9  # a speck
    (volume,) = from_network(image)
    assert volume[31, 0] == 0 and volume[0, 0] == 0
    assert volume[4, 4] > 0
    assert np.count_nonzero(volume) == 216 + 16


def test_values_out_of_range_are_clipped_and_nothing_stays_nothing():
    image = np.full((1, 4, 4, 1), 3.0, "float32")
    np.testing.assert_array_equal(from_network(image), 1)
    np.testing.assert_array_equal(from_network(-image), 0)


def test_batches_do_not_change_the_result():
    x = np.arange(10.0).reshape(5, 2)
    for size in (1, 2, 5, 9):
        np.testing.assert_array_equal(in_batches(lambda b: b * 2, x, size), 2 * x)
