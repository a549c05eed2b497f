"""Unfolding: the voxels of patches, regrouped; and its maps."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.networks.blocks import depth_to_space, space_to_depth
from dipy_synth.networks.unfolding import Unfolding

SHAPES = [(5, 3), (2, 3, 4)]


def basis(channels, rank, patch=4, seed=0):
    """Draw orthonormal rows: (channels, patch ** rank)."""
    drawn = np.random.default_rng(seed).normal(size=(patch**rank, channels))
    return np.linalg.qr(drawn)[0].T.astype("float32")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def cells_of(spatial, n):
    cells = np.arange(np.prod(spatial)).reshape(1, *spatial)
    return np.repeat(cells, n, axis=0).astype("int32")


def blocks_of(patches, factor, patch=4):
    """Regroup patches (n, *spatial, patch ** rank) into finer blocks, by voxels."""
    voxels = depth_to_space(np.asarray(patches, "float32"), patch)
    return np.asarray(space_to_depth(voxels, patch // factor))


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_finer_blocks_are_the_voxels_of_the_patches(shape, factor):
    channels, rank = 6, len(shape)
    layer, matrix = Unfolding((*shape, channels), factor, 4), basis(6, rank)
    mean, variance = draw(*shape, channels), draw(*shape, channels) ** 2
    layer.set_statistics(mean, variance, basis=matrix)
    latents = draw(2, *shape, channels, seed=1)
    out = np.asarray(layer(latents, cells_of(shape, 2)))
    finer = tuple(factor * n for n in shape)
    assert out.shape == (2, *finer, layer.block + 2)
    assert out.shape == layer.compute_output_shape(latents.shape, None)
    expected = latents if factor == 1 else blocks_of(latents @ matrix, factor)
    np.testing.assert_allclose(out[..., :-2], expected, atol=1e-5)
    np.testing.assert_allclose(layer.fold(out[..., :-2]), latents, atol=1e-5)
    if factor > 1:  # means over each finer block
        mean, variance = (
            blocks_of(x[None], factor)[0].mean(axis=-1)
            for x in (mean @ matrix, variance @ matrix**2)
        )
    else:
        mean, variance = mean.mean(axis=-1), variance.mean(axis=-1)
    for map_of_image in out[..., -2:]:
        np.testing.assert_allclose(map_of_image[..., 0], mean, atol=1e-5)
        np.testing.assert_allclose(map_of_image[..., 1], variance**0.5, atol=1e-5)


def test_parts_see_the_maps_of_their_own_cells():
    layer = Unfolding((4, 6, 3), 2, 4)
    layer.set_statistics(draw(4, 6, 3), np.ones((4, 6, 3)), basis=basis(3, 2))
    latents, cells = draw(1, 4, 6, 3, seed=1), cells_of((4, 6), 1)
    whole = np.asarray(layer(latents, cells))
    part = np.asarray(layer(latents[:, 1:3, 2:], cells[:, 1:3, 2:]))
    np.testing.assert_array_equal(part, whole[:, 2:6, 4:])


def test_what_folds_back_is_what_lies_in_the_latents():
    """Noise outside of the span of the latents is dropped: a projection."""
    layer = Unfolding((3, 4, 5), 2, 4)
    layer.set_statistics(draw(3, 4, 5), draw(3, 4, 5) ** 2, basis=basis(5, 2))
    image = draw(2, 6, 8, layer.block)
    once = layer.fold(image)
    again = layer.fold(np.asarray(layer(once, cells_of((3, 4), 2)))[..., :-2])
    np.testing.assert_allclose(again, once, atol=1e-5)


def test_the_matrix_and_the_maps_are_not_trained():
    layer = Unfolding((3, 4, 5), 2, 4)
    assert not layer.trainable_weights and len(layer.weights) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 4, 3), 3, 6), "a power of 2"),
        (((4, 4, 3), 8, 4), "divides patch 4"),
        (((4, 4, 17), 2, 4), "at most 16"),
    ],
)
def test_impossible_factors_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Unfolding(*arguments)


@pytest.mark.parametrize("wrong", [None, np.eye(3, 9)])
def test_unfolding_needs_a_linear_path_of_its_shape(wrong):
    layer = Unfolding((4, 4, 3), 2, 4)
    with pytest.raises(InputError, match="an autoencoder with a linear path"):
        layer.set_statistics(np.zeros((4, 4, 3)), np.ones((4, 4, 3)), basis=wrong)
