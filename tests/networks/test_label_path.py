"""The labels' own path of an autoencoder."""

import keras
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

from dipy_synth.errors import InputError
from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.blocks import depth_to_space
from dipy_synth.networks.label_path import (
    SHARPNESS,
    default_levels,
    label_loss,
    label_patches,
)
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.networks.unfolding import Unfolding

SHAPE = (16, 16, 12)
SMALL = {"architecture": "patch", "shape": SHAPE, "channels": (8, 8), "blocks": 1}


def balls(n=12, labels=2, seed=0):
    """Channels of balls, a label each: (n, *SHAPE, labels) of 1 and -1."""
    rng = np.random.default_rng(seed)
    points = np.moveaxis(np.indices(SHAPE), 0, -1)
    maps = np.zeros((n, *SHAPE), int)
    for one in maps:
        for label in range(1, labels + 1):
            middle = rng.uniform((4, 4, 4), (12, 12, 8))
            one[np.linalg.norm(points - middle, axis=-1) < rng.uniform(2, 4)] = label
    return np.where(maps[..., None] == np.arange(1, labels + 1), 1, -1).astype(
        "float32"
    )


def as_array(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def images():
    """Images and their labels, which the image follows: (n, *SHAPE, 3)."""
    channels = balls()
    image = 0.4 * channels[..., :1] - 0.3 * channels[..., 1:]
    return np.concatenate([image.clip(-0.9, 0.9), channels], axis=-1)


@pytest.fixture(scope="module")
def network(images):
    network = make_autoencoder({**SMALL, "labels": 2})
    network.initialize(images)
    return network


def test_principal_components_keep_the_labels(network, images):
    decoded = as_array(network.decode(network.encode(images)))[..., 1:]
    for label in range(2):
        one, other = decoded[..., label] > 0, images[..., 1 + label] > 0
        assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.8
    patches = label_patches(images[..., 1:], 4)
    assert patches.shape[1] == 128 and (patches > 0).any(axis=1).all()


def test_no_label_is_exactly_nothing(network, images):
    empty = images.copy()
    empty[..., 1:] = -1
    latents = as_array(network.encode(empty))
    assert latents.shape[-1] == 16 + len(default_levels(2))
    assert_array_equal(latents[..., 16:], 0)
    assert_allclose(as_array(network.decode(latents))[..., 1:], -1, atol=1e-6)


def test_unknown_labels_are_no_label_and_cost_nothing(network, images):
    unknown = images.copy()
    unknown[0, ..., 1:] = 0
    assert_array_equal(as_array(network.encode(unknown))[0, ..., 16:], 0)
    wrong = np.full_like(unknown[..., 1:], 5.0)
    right = np.where(unknown[..., 1:] > 0, 5.0, -5.0).astype("float32")
    some = right.copy()
    some[0] = wrong[0]
    losses = [float(label_loss(unknown[..., 1:], d)) for d in (right, some, wrong)]
    assert losses[0] == losses[1] < 1e-6 < 1 < losses[2]
    assert float(label_loss(np.zeros_like(wrong), wrong)) == 0


def test_the_loss_is_the_cross_entropy_of_labels_and_background():
    channels = np.array([[[[1.0, -1], [-1, -1], [-1, 1]]]], "float32")
    decoded = np.array([[[[0.5, -0.2], [0.1, -1], [0.3, 0.2]]]], "float32")
    logits = np.concatenate([np.zeros((1, 1, 3, 1)), SHARPNESS * decoded], axis=-1)
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = -np.log(shares[0, 0, np.arange(3), [1, 0, 2]]).mean()
    assert_allclose(float(label_loss(channels, decoded)), expected, rtol=1e-5)


def test_the_image_does_not_depend_on_labels(network, images):
    other = images.copy()
    other[..., 1:] = images[::-1, ..., 1:]
    ours, theirs = (as_array(network.encode(x)) for x in (images, other))
    assert_array_equal(ours[..., :16], theirs[..., :16])
    assert np.abs(ours[..., 16:] - theirs[..., 16:]).max() > 0.1
    decoded = [as_array(network.decode(z))[..., 0] for z in (ours, theirs)]
    assert_array_equal(*decoded)


def test_without_labels_nothing_is_added(images):
    network = make_autoencoder(SMALL)
    config = network.arguments()
    assert not {"labels", "label_levels"} & set(config)
    labelled = make_autoencoder({**config, "labels": 2})
    n = len(network.weights)
    # weights and names in the same order, those of the labels after them
    shapes = [tuple(w.shape) for w in network.get_weights()]
    own = [w for w in labelled.weights if "label" not in w.path]
    assert [tuple(w.shape) for w in own] == shapes and len(labelled.weights) > n
    network.initialize(images[..., :1])
    labelled.initialize(images)
    assert_allclose(
        as_array(labelled.encode(images))[..., :16],
        as_array(network.encode(images[..., :1])),
        atol=1e-5,
    )


def test_the_basis_is_one_block_for_the_image_and_one_for_labels(network, images):
    coordinates, basis = network.patch_basis()
    assert coordinates.shape == (28, 28) and basis.shape == (28, 64 * 3)
    assert not coordinates[:16, 16:].any() and not coordinates[16:, :16].any()
    voxels = basis.reshape(28, 64, 3)
    assert not voxels[:16, :, 1:].any() and not voxels[16:, :, 0].any()
    assert_allclose(basis @ basis.T, np.eye(28), atol=1e-6)
    # latents unfold to the voxels that they stand for, and fold back
    latents = as_array(network.encode(images)) @ coordinates
    shape, found = latents.shape[1:], {}
    cells = np.broadcast_to(np.arange(48).reshape(4, 4, 3), (12, 4, 4, 3))
    for factor in (2, 4):
        unfolding = Unfolding(shape, factor, 4, image_channels=3)
        unfolding.set_statistics(np.zeros(shape), np.ones(shape), basis=basis)
        there = unfolding(latents.astype("float32"), cells)[..., :-2]
        assert_allclose(as_array(unfolding.fold(there)), latents, atol=1e-4)
        found[factor] = as_array(depth_to_space(there, 4 // factor))
    assert found[4].shape == (12, *SHAPE, 3)
    assert_allclose(found[2], found[4], atol=1e-5)
    # of labels they are the differences from a patch without, 2 in each voxel
    made, wanted = found[4][..., 1] > 1, images[..., 1] > 0
    assert 2 * (made & wanted).sum() / (made.sum() + wanted.sum()) > 0.7


def test_labels_do_not_train_the_image():
    """A step on images and labels changes the image's weights as one without does."""
    images = np.concatenate([balls(2, labels=1, seed=1) * 0.5, balls(2, labels=1)], -1)
    steps = {}
    for labels in (0, 1):
        network = make_autoencoder({**SMALL, "labels": labels})
        network.initialize(images[..., : 1 + labels])
        for weight in network.trainable_weights:
            if "correction" in weight.path:  # zeros would pass nothing on
                rng = np.random.default_rng(weight.shape[-1])
                size = 0.3 if "label" in weight.path else 0.01
                weight.assign(rng.normal(0, size, weight.shape))
        network.compile(optimizer=keras.optimizers.SGD(0.1))
        seen = images[..., : 1 + labels]
        network.train_on_batch(seen, seen)
        own = [w for w in network.weights if "label" not in w.path]
        steps[labels] = [as_array(w) for w in own if "encoder_correction" in w.path]
    # the quantiser's own term is a mean over all numbers, those of labels included
    for one, other in zip(steps[0], steps[1]):
        assert_allclose(one, other, atol=2e-4)


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="expected odd"):
        PatchAutoencoder(SHAPE, labels=1, label_levels=(8, 8))
    with pytest.raises(InputError, match="expected fsq"):
        quantizer = {"name": "vq", "codes": 8, "width": 4}
        PatchAutoencoder(SHAPE, labels=1, quantizer=quantizer)
