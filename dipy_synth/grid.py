"""The grid of a model: RAS axes, a shape, a voxel size and a centre.

Arrays of a network have no header. `Grid` has their affine, and composes the matrix
from voxels of the grid to voxels of an image of any orientation, with any transform
between the two world spaces.
"""

from dataclasses import dataclass, replace

import numpy as np

from dipy_synth.errors import InputError

# BIDS label of the template that volumes are aligned to: ICBM 2009a, nonlinear,
# symmetric.
TEMPLATE_SPACE = "MNI152NLin2009aSym"
TEMPLATE_ADDRESS = (
    "https://www.bic.mni.mcgill.ca/~vfonov/icbm/2009/mni_icbm152_nlin_sym_09a_nifti.zip"
)
MOST_VOXELS = 512**3  # 0.5 GB a volume in float32, of which steps take several


@dataclass(frozen=True)
class Grid:
    """A regular grid with axes along right, anterior and superior (RAS).

    Parameters
    ----------
    shape : tuple of int, (3,), optional
        Number of voxels along each axis.
    voxel_size : tuple of float, (3,), optional
        Size of a voxel along each axis, in mm.
    center : tuple of float, (3,), optional
        World coordinates of the middle of the field of view, in mm. The default
        grid holds the MNI152 brain with 2 mm or more to spare on every side.

    Raises
    ------
    InputError
        If a value has not three entries, is not positive or not finite, or there are
        more than 512 x 512 x 512 voxels.
    """

    shape: tuple[int, int, int] = (80, 96, 80)
    voxel_size: tuple[float, float, float] = (2.0, 2.0, 2.0)
    center: tuple[float, float, float] = (0.0, -16.0, 6.0)

    def __post_init__(self):
        shape = _three("shape", self.shape)
        sizes = _three("voxel_size", self.voxel_size)
        if any(n != int(n) or n < 1 for n in shape):
            raise InputError(f"grid shape {self.shape}: expected three integers > 0")
        if any(size <= 0 for size in sizes):
            raise InputError(
                f"grid voxel_size {self.voxel_size}: expected three numbers > 0, in mm"
            )
        if np.prod(shape) > MOST_VOXELS:
            raise InputError(
                f"voxel_size {times(sizes)}: a grid of {times(shape)} voxels; "
                "expected at most 512 x 512 x 512"
            )
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        object.__setattr__(self, "voxel_size", sizes)
        object.__setattr__(self, "center", _three("center", self.center))

    @property
    def affine(self):
        """Map from voxel to world coordinates: ndarray of shape (4, 4), in mm, RAS."""
        affine = np.diag([*self.voxel_size, 1.0])
        middle = (np.array(self.shape) - 1) / 2
        affine[:3, 3] = np.array(self.center) - middle * self.voxel_size
        return affine

    @property
    def extent(self):
        """Field of view, the outer voxels in full: ndarray of shape (3,), in mm."""
        return np.array(self.shape) * np.array(self.voxel_size)

    def centered_on(self, point):
        """Return the same grid with another centre.

        Parameters
        ----------
        point : array_like of shape (3,)
            World coordinates in mm.

        Returns
        -------
        Grid
        """
        return replace(self, center=tuple(point))

    def voxel_map(self, affine, *, world=None):
        """Map voxels of the grid to voxels of an image.

        Parameters
        ----------
        affine : array_like of shape (4, 4)
            Voxel-to-world affine of the image, in mm.
        world : array_like of shape (4, 4), optional
            Map from the grid's world to the image's world, in mm. They are the
            same world by default.

        Returns
        -------
        ndarray of shape (4, 4)
            Matrix from the index of a grid voxel to that of an image voxel.
        """
        world = np.eye(4) if world is None else np.asarray(world, dtype=float)
        return np.linalg.solve(np.asarray(affine, dtype=float), world @ self.affine)

    def to_config(self):
        """Return the grid as a dict of JSON types.

        Returns
        -------
        dict
        """
        names = ("shape", "voxel_size", "center")
        return {name: list(getattr(self, name)) for name in names}

    @classmethod
    def from_config(cls, config):
        """Build the grid from the dict of `to_config`.

        Parameters
        ----------
        config : dict
            What `to_config` returned.

        Returns
        -------
        Grid

        Raises
        ------
        InputError
            If a key is missing or unknown, or a value is not valid.
        """
        names = {"shape", "voxel_size", "center"}
        if not isinstance(config, dict) or set(config) != names:
            raise InputError(f"grid {config!r}: expected the keys {sorted(names)}")
        return cls(**config)


def make_grid(shape=None, voxel_size=None, default=None):
    """Build a grid from a shape, a voxel size in mm, or both.

    One size is that of all axes. Without a shape the grid has the extent of the
    default, ``Grid()`` if None, in multiples of 8 voxels.
    """
    default = default or Grid()
    sizes = tuple(voxel_size or default.voxel_size)
    sizes = sizes * 3 if len(sizes) == 1 else sizes
    if shape is None and len(sizes) == 3 and all(size > 0 for size in sizes):
        # Multiples of 8, for a network that halves three times.
        shape = 8 * np.ceil(default.extent / sizes / 8 - 1e-6)
    return Grid(default.shape if shape is None else shape, sizes, default.center)


def model_grid(config):
    """Return the grid of a model's configuration; refuse a model of images."""
    if config["grid"] is None:
        raise InputError(
            "a model of images, which have no affine; expected a model of volumes"
        )
    return Grid.from_config(config["grid"])


def template_space(preprocessing):
    """Return the BIDS label of the space that scans were prepared in: str or None.

    `preprocessing` is the configuration of a
    `dipy_synth.data.preprocess_config.PreprocessConfig`. The label is None where scans
    stay in the scanner's space, or the space is not known.
    """
    aligned = (preprocessing or {}).get("align") in ("rigid", "affine")
    return TEMPLATE_SPACE if aligned else None


def spatial_reference(preprocessing):
    """Return what the sidecar of a volume says of its space (BIDS): dict.

    It has ``SpatialReference``, the address of the template; it is empty without one.
    """
    if template_space(preprocessing) is None:
        return {}
    return {"SpatialReference": TEMPLATE_ADDRESS}


def _three(name, values):
    """Check for three finite numbers."""
    try:
        values = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise InputError(f"grid {name} {values!r}: expected three numbers") from None
    if len(values) != 3 or not np.all(np.isfinite(values)):
        raise InputError(f"grid {name} {values!r}: expected three finite numbers")
    return values


def times(values):
    """Format sizes as 80 x 96 x 80."""
    return " x ".join(f"{value:g}" for value in values)
