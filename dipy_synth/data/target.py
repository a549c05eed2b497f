"""Another grid that volumes are written on: that of an image, or of a voxel size."""

from dataclasses import dataclass
import logging
from pathlib import Path

from nibabel.affines import voxel_sizes
import numpy as np

from dipy_synth.data.headers import VOXEL, read_affine
from dipy_synth.data.nifti import check_headers, open_nifti
from dipy_synth.data.operations import excess, resample
from dipy_synth.errors import InputError
from dipy_synth.grid import MOST_VOXELS, make_grid, times
from dipy_synth.utils.number_checks import check_number

logger = logging.getLogger("dipy")


@dataclass(frozen=True)
class Target:
    """The grid that volumes are written on, in the world of the volumes.

    Parameters
    ----------
    shape : tuple of int, (3,)
        Number of voxels.
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm, of any orientation.
    name : str, optional
        What error messages call it: the file, or the option.

    Raises
    ------
    InputError
        If it has more than 512 x 512 x 512 voxels.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    name: str = "target grid"

    def __post_init__(self):
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", np.asarray(self.affine, "float64"))
        if np.prod(self.shape, dtype="float64") > MOST_VOXELS:
            raise InputError(
                f"{self.name}: a grid of {times(self.shape)} voxels; expected at most "
                "512 x 512 x 512"
            )

    @classmethod
    def like(cls, path):
        """Read the grid of a NIfTI image of three dimensions, without its voxels.

        Contradictions of its header are logged.
        """
        for note in check_headers(path):
            logger.warning(f"{path}: {note}")
        image = open_nifti(path)
        return cls(image.shape[:3], read_affine(image)[0], str(path))

    @classmethod
    def of_voxel_size(cls, sizes, grid):
        """Return a grid with the extent and centre of another, rounded up to 8 voxels.

        The sizes of the voxels are three numbers in mm, or one for all axes.
        """
        for size in sizes:
            check_number("voxel_size", size, low=VOXEL[0], high=VOXEL[1])
        made, name = make_grid(None, sizes, grid), f"voxel_size {times(sizes)}"
        return cls(made.shape, made.affine, name)

    @property
    def voxel_size(self):
        """Size of a voxel along each axis: list of float, (3,), in mm."""
        return [round(float(size), 6) for size in voxel_sizes(self.affine)]

    def to_config(self):
        """Describe the grid in JSON's own types: dict."""
        return {"Shape": list(self.shape), "Affine": self.affine.tolist()}

    def resample(self, volume, affine, *, mask=None, order=3):
        """Interpolate a volume of brain once, see `operations.resample`.

        Parameters
        ----------
        volume : ndarray of shape (I, J, K)
            The background is 0.
        affine : ndarray of shape (4, 4)
            Voxel-to-world affine of the volume, in mm.
        mask : ndarray of shape (I, J, K), bool, optional
            The brain; where the volume is not 0 by default.
        order : {3, 1}, optional
            Cubic (within the range of the volume) or linear interpolation.

        Returns
        -------
        ndarray of shape (*shape), float32
            The background is exactly 0. A brain beyond the grid is an InputError.
        """
        mask = volume != 0 if mask is None else mask
        if not mask.any():
            return np.zeros(self.shape, "float32")
        matrix = np.linalg.solve(affine, self.affine)
        beyond = excess(mask, matrix, self.shape, voxel_sizes(self.affine)).max()
        if beyond > 1e-6:
            raise InputError(
                f"{self.name}: the brain reaches beyond its field of view by "
                f"{beyond:.1f} mm; expected an image of the same space that holds a "
                "whole brain"
            )
        return resample(volume, mask, matrix, self.shape, order=order)[0]


def describe_resolution(target, grid):
    """Describe the resolution of a volume on a target, made on a grid: dict, of BIDS.

    It has ``Resolution``, in words, and ``ContentVoxelSize``, the size of the voxels
    that the content was made on, in mm.
    """
    here, there = times(target.voxel_size), times(grid.voxel_size)
    return {
        "Resolution": f"Voxels of {here} mm, interpolated once from the grid of the "
        f"model, whose voxels are {there} mm: the content is of that resolution",
        "ContentVoxelSize": list(grid.voxel_size),
    }


def find_target(*, like=None, voxel_size=None, grid=None):
    """Find the grid that volumes are to be written on.

    Parameters
    ----------
    like : str or Path, optional
        An image whose grid it is.
    voxel_size : sequence of float, (3,) or (1,), optional
        The size of its voxels, in mm.
    grid : Grid, optional
        The grid of the model.

    Returns
    -------
    Target or None
        None where neither is given: the grid of the model.

    Raises
    ------
    InputError
        If both are given, or one is not what is expected.
    """
    if like is not None and voxel_size:
        raise InputError(
            f"like {Path(like)} with voxel_size {times(voxel_size)}: expected one of "
            "them"
        )
    if like is not None:
        return Target.like(like)
    return Target.of_voxel_size(voxel_size, grid) if voxel_size else None
