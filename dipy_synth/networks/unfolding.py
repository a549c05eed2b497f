"""Latents of patches on a finer grid, with maps of their mean and deviation."""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.networks.blocks import depth_to_space, space_to_depth


@keras.saving.register_keras_serializable("dipy_synth")
class Unfolding(layers.Layer):
    """Map latents of patches to smaller blocks on a finer grid, and back.

    Two maps of the training latents are joined as channels, the mean and the standard
    deviation of each finer cell, as convolutions have no position.

    Parameters
    ----------
    shape : sequence of int
        Shape of one latent image, ``(*spatial, channels)``.
    factor : int
        Refinement of the grid, a power of 2; 1 leaves it as it is.
    patch : int
        Side of a latent position in voxels, a multiple of `factor` above 1.
    image_channels : int, optional
        Channels of a voxel: 1 of the image, and one of each label.

    Notes
    -----
    Called on latents (batch, *part, channels) and the flat indices of their positions
    (batch, *part); returns (batch, *factor * part, block + 2), in float32. The matrix
    and the maps are not trained.
    """

    def __init__(self, shape, factor, patch, *, image_channels=1, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.shape, self.factor, self.patch = tuple(shape), factor, patch
        self.rank, self.image_channels = len(self.shape) - 1, image_channels
        if factor < 1 or factor & (factor - 1) or (factor > 1 and patch % factor):
            raise InputError(
                f"unfold {factor}: expected a power of 2 that divides patch {patch}"
            )
        most = patch**self.rank * image_channels
        if factor > 1 and self.shape[-1] > most:
            raise InputError(
                f"{self.shape[-1]} latent channels: expected at most {most}, the "
                "voxels of a patch"
            )
        self.build(None, None)

    @property
    def block(self):
        """Number of channels of the finer grid."""
        if self.factor == 1:
            return self.shape[-1]
        return (self.patch // self.factor) ** self.rank * self.image_channels

    def build(self, latents_shape, cells_shape):
        if self.built:
            return
        numbers = self.factor**self.rank * self.block
        self.matrix = self.add_weight(
            shape=(self.shape[-1], numbers), initializer="zeros", name="matrix"
        )
        self.matrix.assign(np.eye(self.shape[-1], numbers, dtype="float32"))
        self.maps = self.add_weight(
            shape=(*self.shape[:-1], 2 * self.factor**self.rank),
            initializer="zeros",
            name="maps",
        )

    def set_statistics(self, mean, variance, *, basis=None):
        """Set the matrix and the maps from the training latents.

        Parameters
        ----------
        mean, variance : ndarray of shape (*spatial, channels)
            Mean and variance of the training latents.
        basis : ndarray of shape (channels, patch ** rank * image_channels), optional
            Orthonormal rows: the voxels of a patch, in row-major order, that each
            channel stands for. Needed where `factor` is above 1.

        Raises
        ------
        InputError
            If the basis is absent or has another shape.
        """
        if self.factor > 1:
            self._set_matrix(basis)
        matrix = np.asarray(ops.convert_to_numpy(self.matrix))
        mean = self._block_means(mean @ matrix)
        variance = self._block_means(variance @ matrix**2)
        maps = [mean, np.sqrt(np.maximum(variance, 0))]
        # in the order of `depth_to_space`: both maps of a finer cell side by side
        self.maps.assign(np.stack(maps, axis=-1).reshape(self.maps.shape))

    def _set_matrix(self, basis):
        wanted = tuple(self.matrix.shape)
        there = None if basis is None else tuple(basis.shape)
        if there != wanted:
            raise InputError(
                f"unfold {self.factor}: expected an autoencoder with a linear path, of "
                f"shape {wanted}, not {there}"
            )
        order = _block_order(self.patch, self.factor, self.rank)
        voxels = basis.reshape(len(basis), -1, self.image_channels)[:, order]
        self.matrix.assign(voxels.reshape(wanted))

    def _block_means(self, values):
        """Compute the image's means of blocks: (*spatial, n) to (*spatial, cells)."""
        if self.factor == 1:
            return values.mean(axis=-1, keepdims=True)
        cells = self.factor**self.rank
        blocks = values.reshape(*values.shape[:-1], cells, -1, self.image_channels)
        return blocks[..., 0].mean(axis=-1)

    def call(self, latents, cells):
        flat = ops.reshape(ops.convert_to_tensor(self.maps), (-1, self.maps.shape[-1]))
        maps = ops.take(flat, cells, axis=0)
        if self.factor > 1:
            matrix = ops.convert_to_tensor(self.matrix)
            latents = depth_to_space(ops.matmul(latents, matrix), self.factor)
            maps = depth_to_space(maps, self.factor)
        return ops.concatenate([latents, maps], axis=-1)

    def fold(self, image):
        """Map an image of blocks (batch, *factor * part, block) back to latents."""
        image = ops.cast(image, "float32")
        if self.factor == 1:
            return image
        matrix = ops.transpose(ops.convert_to_tensor(self.matrix))
        return ops.matmul(space_to_depth(image, self.factor), matrix)

    def compute_output_shape(self, latents_shape, cells_shape):
        part = (self.factor * n for n in latents_shape[1:-1])
        return (latents_shape[0], *part, self.block + 2)

    def get_config(self):
        own = {"shape": self.shape, "factor": self.factor, "patch": self.patch}
        own |= {"image_channels": self.image_channels}
        return {**super().get_config(), **own}


def _block_order(patch, factor, rank):
    """Compute the order by finer blocks of the voxels of a patch, given row by row."""
    inner = patch // factor
    index = np.arange(patch**rank).reshape([factor, inner] * rank)
    outer = range(0, 2 * rank, 2)
    return index.transpose([*outer, *(axis + 1 for axis in outer)]).ravel()
