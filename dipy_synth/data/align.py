"""Alignment of a brain to MNI152, with the sizes of the subject kept.

With a rigid transform alone, a brain smaller than the template can tilt inside it. So
size is a free parameter of the search, and is removed afterwards, about the centre of
the template's brain.
"""

from functools import lru_cache

import SimpleITK as sitk
from nibabel.affines import voxel_sizes
import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

from dipy_synth.data.intensities import offset_of
from dipy_synth.data.operations import bounding_corners, resample
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's world against nibabel's
WIDTH = 2.0  # mm, voxel size of the search
SMOOTH = 4.0  # mm, width at which a brain is compared with the template: no folds
KINDS = ("rigid", "affine")


@lru_cache(maxsize=1)
def load_template():
    """Load the MNI152 T1 brain (ICBM 2009a nonlinear symmetric) of nilearn, cached.

    Returns
    -------
    data : ndarray of shape (X, Y, Z), float32
        The brain at 2 mm, 0 outside of it; not to be written to.
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm, RAS.
    """
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    head = load_mni152_template(resolution=int(WIDTH))
    brain = load_mni152_brain_mask(resolution=int(WIDTH))
    data = head.get_fdata(dtype=np.float32) * (np.asanyarray(brain.dataobj) > 0)
    data.flags.writeable = False
    return data, head.affine


def find_transform(data, mask, affine, *, kind="rigid", threads=1):
    """Align a brain to MNI152 by the correlation of their intensities.

    A similarity transform is optimised from the centres of mass, at 8 mm and then at
    4 mm (displacements of the template itself are recovered within 0.2 mm); for
    "affine", scales and shears follow. "rigid" removes the scale afterwards. The brain
    is first brought to the template's voxel size, so that the time does not depend on
    the native one.

    `data`, in any unit and with any offset, and its `mask` have the shape (X, Y, Z);
    `affine` is voxel to world, in mm. Return the map from template world to native
    world, ndarray of shape (4, 4), in mm.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
    fixed, fixed_affine = load_template()
    moving, moving_affine = _coarse(data, mask, affine)
    pictures = [_picture(fixed, fixed_affine), _picture(moving, moving_affine)]
    start = sitk.CenteredTransformInitializer(
        *pictures,
        sitk.Similarity3DTransform(),
        sitk.CenteredTransformInitializerFilter.MOMENTS,
    )
    found = _search(*pictures, sitk.Similarity3DTransform(start), threads=threads)
    if kind == "rigid":
        return without_size(_matrix(found), _middle(fixed, fixed_affine))
    general = sitk.AffineTransform(3)
    general.SetMatrix(found.GetMatrix())
    general.SetTranslation(found.GetTranslation())
    general.SetCenter(found.GetCenter())
    return _matrix(_search(*pictures, general, threads=threads))


def _search(fixed, moving, transform, *, threads):
    """Optimise a transform, coarse to fine, over all voxels (no random sampling)."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(threads)
    method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([4, 2])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0,
        minStep=1e-3,
        numberOfIterations=200,
        # ITK's own tolerance, 1e-4, stops a correlation 1 to 2 mm early.
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, True)
    method.Execute(fixed, moving)
    return transform


def template_correlation(data, mask, affine, world):
    """Compute the correlation of an aligned brain with the template: float.

    Both are compared at 4 mm over the union of the two brains, after the brain is
    scaled to the volume of the template's: missing parts count, size does not. `data`,
    `mask` and `affine` are as in `find_transform`, whose result is `world`.
    """
    fixed, fixed_affine = load_template()
    moving, moving_affine = _coarse(data, mask, affine)
    volumes = [
        np.count_nonzero(a) * abs(np.linalg.det(b[:3, :3]))
        for a, b in ((moving, moving_affine), (fixed, world @ fixed_affine))
    ]
    matrix = world @ _scaling(
        np.cbrt(volumes[0] / volumes[1]), _middle(fixed, fixed_affine)
    )
    matrix = np.linalg.solve(moving_affine, matrix @ fixed_affine)
    moved = affine_transform(
        moving, matrix[:3, :3], matrix[:3, 3], output_shape=fixed.shape, order=1
    )
    inside = (fixed > 0) | (moved > 0)
    sigma = SMOOTH / (voxel_sizes(fixed_affine) * np.sqrt(8 * np.log(2)))
    both = [gaussian_filter(volume, sigma)[inside] for volume in (fixed, moved)]
    return float(np.corrcoef(*both)[0, 1])


def rotation_angle(world):
    """Compute the rotation angle of a transform: float, in degrees, 0 to 180."""
    left, _, right = np.linalg.svd(np.asarray(world, dtype=float)[:3, :3])
    return float(
        np.degrees(np.arccos(np.clip((np.trace(left @ right) - 1) / 2, -1, 1)))
    )


def _scaling(factor, center):
    """Build the matrix that scales about a point: ndarray of shape (4, 4)."""
    matrix = np.diag([factor, factor, factor, 1.0])
    matrix[:3, 3] = (1 - factor) * np.asarray(center)
    return matrix


def without_size(matrix, center):
    """Compute the rigid part of an affine transform: ndarray of shape (4, 4).

    Its rotation is the nearest one (by singular values), and it moves `center`, shape
    (3,) in mm, as the whole transform does.
    """
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rigid = np.eye(4)
    rigid[:3, :3] = left @ right
    moved = matrix[:3, :3] @ center + matrix[:3, 3]
    rigid[:3, 3] = moved - rigid[:3, :3] @ center
    return rigid


def _coarse(data, mask, affine):
    """Resample a brain to the voxel size of the search, on a grid around it."""
    low, high = bounding_corners(mask, affine)
    # Half a brain of room: smoothing and ITK's border need background around it.
    shape = tuple(int(n) for n in np.ceil((high - low) / WIDTH) + 20)
    grid = Grid(shape=shape, voxel_size=(WIDTH,) * 3, center=tuple((low + high) / 2))
    moving, inside = resample(data, mask, grid.voxel_map(affine), grid.shape, order=1)
    if not inside.any():
        raise InputError(f"the brain mask has no voxel left at {WIDTH:g} mm")
    moving = np.where(inside, moving + offset_of(moving, inside), 0)
    return (moving / np.percentile(moving[inside], 99)).astype(np.float32), grid.affine


def _middle(data, affine):
    """Compute the centre of a template's brain: ndarray of shape (3,), in mm."""
    return np.mean(bounding_corners(data > 0, affine), axis=0)


def _picture(data, affine):
    """Convert an array and its RAS affine to an ITK image."""
    picture = sitk.GetImageFromArray(np.ascontiguousarray(data.T, dtype=np.float32))
    world, sizes = LPS @ affine, voxel_sizes(affine)
    picture.SetSpacing(sizes.tolist())
    picture.SetDirection((world[:3, :3] / sizes).ravel().tolist())
    picture.SetOrigin(world[:3, 3].tolist())
    return picture


def _matrix(transform):
    """Convert an ITK transform to a matrix between RAS worlds."""
    linear = np.array(transform.GetMatrix()).reshape(3, 3)
    center = np.array(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = center + np.array(transform.GetTranslation()) - linear @ center
    return LPS @ matrix @ LPS
