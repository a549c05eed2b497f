"""The terms of the reconstruction loss, by hand; all of them are means."""

import numpy as np
import pytest

from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.losses import (
    frequency_distance,
    gradient_distance,
    voxel_distance,
)

SHAPES = [(8, 12), (4, 8, 12)]


def images(shape, n=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, *shape, 1)).astype("float32")


@pytest.mark.parametrize(("distance", "expected"), [("l1", 0.2), ("l2", 0.04)])
def test_background_has_its_own_weight(distance, expected):
    x = np.full((1, 8, 8, 1), -1.0, "float32")
    x[:, :4] = 0.5
    loss = voxel_distance(x, x + 0.2, distance=distance, background_weight=0.25)
    assert float(loss) == pytest.approx(expected * (0.5 + 0.5 * 0.25), rel=1e-4)


def test_gradient_term_sees_blur_and_not_brightness():
    x = np.full((1, 8, 8, 1), -1.0, "float32")
    edge = x.copy()
    edge[:, :, 4:] += 0.8
    assert float(gradient_distance(x, x + 0.3)) == pytest.approx(0, abs=1e-6)
    expected = 0.5 * 0.8 / 7  # one of seven differences, along one of two axes
    assert float(gradient_distance(x, edge)) == pytest.approx(expected)


def test_frequency_term_wants_texture_of_the_right_strength_whatever_its_sign():
    board = np.indices((8, 8)).sum(axis=0) % 2 * 2.0 - 1
    x = (0.3 * board)[None, ..., None].astype("float32")
    assert float(frequency_distance(x, -x)) == pytest.approx(0, abs=1e-6)
    assert float(frequency_distance(x, x + 0.5)) == pytest.approx(0, abs=1e-6)
    # a checkerboard of height 0.3: one of three details, 2 x 0.3, at one of two scales
    expected = 0.6 / 3 / 2
    assert float(frequency_distance(x, 0 * x)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["patch", "residual"])
def test_a_loss_compares_between_batch_sizes(name, shape):
    network = make_autoencoder(
        {
            "architecture": name,
            "shape": shape,
            "channels": (4, 4),
            "frequency_weight": 0.5,
        }
    )
    if name == "residual":
        network.quantizer.start(3 * images((64, *shape[1:], 32), n=1)[..., 0], seed=0)
    losses = []
    for copies in (1, 3):
        x = 3 * np.repeat(images(shape), copies, axis=0)  # beyond the range of FSQ
        losses.append(float(network.compute_loss(x, y_pred=network(x))))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert sum(float(term) for term in network.losses) > 1e-4
