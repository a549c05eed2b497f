"""The predictor's network: its start, its loss with missing values, what it counts."""

import keras
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.networks.predictor_network import PredictorNetwork, column_loss

SHAPE = (8, 8, 8)


def volumes(n, seed=0):
    """Noise in [-1, 1], with a bright corner as large as `ages` say."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 0, (n, *SHAPE, 1)).astype("float32")
    ages = rng.uniform(-1, 1, n).astype("float32")
    images[:, :4, :4, :4] += (1 + ages[:, None, None, None, None]) / 2
    return images, np.stack([ages, ages > 0], axis=1).astype("float32")


def test_the_start_is_a_regression_that_predicts_what_it_has_not_seen():
    network = PredictorNetwork(SHAPE, categories=(0, 2), widths=(4,), features=4)
    images, targets = volumes(60)
    targets[::5] = np.nan
    network.initialize(images, targets)
    features = np.asarray(network.describe(images))
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(features.var(axis=0), 1, rtol=1e-2)
    unseen, truth = volumes(40, seed=1)
    number, logits = network.split(np.asarray(network(unseen)))
    assert np.corrcoef(number[:, 0], truth[:, 0])[0, 1] > 0.95
    assert np.mean(logits.argmax(axis=1) == truth[:, 1]) > 0.85


def test_fewer_images_than_features_leave_the_rest_silent():
    network = PredictorNetwork(SHAPE, categories=(0,), widths=(4,), features=16)
    images, targets = volumes(5)
    network.initialize(images, targets[:, :1])
    features = np.asarray(network.describe(images))
    assert np.isfinite(features).all()
    assert np.abs(features[:, 4:]).max() < 1e-3


def test_brightness_is_counted_where_it_lies_and_the_background_is_not():
    network = PredictorNetwork(
        (4, 4), categories=(0,), widths=(4,), levels=4, shrink=2, features=2
    )
    image = np.full((1, 4, 4, 1), -1.0, "float32")
    image[0, :2, :2] = 2 * 0.625 - 1  # half way from level 2 to level 3 of 4
    counts = np.asarray(network.local_histograms(image))[0]
    np.testing.assert_allclose(counts[0, 0], [0, 0.5, 0.5, 0], atol=1e-6)
    assert not counts[1:].any() and not counts[:, 1:].any()


def test_a_missing_value_counts_for_nothing():
    values = np.array([0.5, np.nan, -1.0], "float32")
    outputs = np.array([[0.0], [9.0], [0.0]], "float32")
    assert float(column_loss(values, outputs, 0)) == pytest.approx((0.25 + 1) / 2)
    logits = np.array([[0.0, 0.0], [9.0, -9.0], [0.0, 0.0]], "float32")
    names = np.array([1, np.nan, 0], "float32")
    assert float(column_loss(names, logits, 2)) == pytest.approx(np.log(2))
    nothing = np.full(3, np.nan, "float32")
    assert float(column_loss(nothing, outputs, 0)) == 0


def test_a_missing_value_has_no_gradient():
    """NaN times zero is NaN: a step with missing values is one without their rows."""
    images, targets = volumes(4)
    targets[0] = np.nan
    found = []
    for rows in (slice(None), slice(1, None)):
        keras.utils.set_random_seed(0)
        network = PredictorNetwork(SHAPE, categories=(0, 2), widths=(4,), features=4)
        before = network.get_weights()
        network.compile(keras.optimizers.SGD(0.1))
        network.train_on_batch(images[rows], targets[rows])
        found.append(network.get_weights())
    for missing, absent in zip(*found):
        np.testing.assert_allclose(missing, absent, atol=1e-6)
    assert max(np.abs(a - b).max() for a, b in zip(before, found[0])) > 1e-3


@pytest.mark.parametrize(
    ("shape", "categories"), [((8,), (0,)), ((8, 8, 8, 8), (0,)), ((8, 8), ())]
)
def test_what_cannot_be_made_is_refused(shape, categories):
    with pytest.raises(InputError, match="expected"):
        PredictorNetwork(shape, categories=categories)


def test_position_channels_show_where_something_is():
    images = np.full((4, 16, 16, 1), -1, "float32")
    for place, image in enumerate(images):  # one blot, in one of four quarters
        x, y = 8 * (place // 2), 8 * (place % 2)
        image[x + 2 : x + 6, y + 2 : y + 6] = 1
    apart = {}
    for where in (False, True):
        keras.utils.set_random_seed(0)
        options = {"categories": (4,), "widths": (4, 4), "where": where}
        network = PredictorNetwork((16, 16), **options)
        network.linear.set_weights([0 * w for w in network.linear.get_weights()])
        weights = network.correction.kernel
        weights.assign(np.random.default_rng(0).normal(size=weights.shape))
        apart[where] = np.ptp(np.asarray(network.describe(images)), axis=0).max()
    assert apart[True] > 5 * apart[False], apart  # what differs else is the border
