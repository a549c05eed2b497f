"""Checks of a T1 scan: what is refused, and what is a warning."""

import numpy as np

from dipy_synth.errors import InputError

# Real brains have 0.6 to 0.75; halves of brains and heads on their side up to 0.4.
LEAST_CORRELATION = 0.45
MOST_TURNED = 60.0  # degrees: more than any head in a scanner
# Of the brain's voxels, those darker than the median outside: up to 0.04 in real scans,
# 0.96 or more where they are negated, about 0.5 where 0 is the brain's mean.
BRIGHTER = 0.9
MOST_SHEARED = 2.0  # degrees off right angles; affine registration leaves a little


def check_scan(data, affine, mask=None):
    """Return a scan as float32; refuse an image that cannot be a T1 scan.

    It has finite values of three dimensions that are not constant, an invertible
    affine, and a mask, if any, of its shape.
    """
    data = np.asarray(data)
    if data.dtype.kind not in "biuf":
        raise InputError(f"{data.dtype} values: expected real numbers")
    with np.errstate(over="ignore"):  # refused below
        data = data.astype(np.float32, copy=False)
    if data.ndim != 3:
        raise InputError(f"an image of shape {data.shape}: expected three dimensions")
    sound = affine.shape == (4, 4) and np.isfinite(affine).all()
    if (
        not sound
        or not np.array_equal(affine[3], [0, 0, 0, 1])
        or abs(np.linalg.det(affine[:3, :3])) <= 1e-9
    ):
        raise InputError(
            f"affine {affine.tolist()}: expected an invertible 4 x 4 matrix, its last "
            "row 0, 0, 0, 1"
        )
    bad = data.size - np.count_nonzero(np.isfinite(data))
    if bad:
        raise InputError(
            f"{bad} voxels are NaN, infinite or beyond float32 (3.4e38): expected "
            "finite numbers"
        )
    if data.min() == data.max():
        raise InputError(f"constant image (every voxel is {data.flat[0]:g})")
    if mask is not None and np.shape(mask) != data.shape:
        raise InputError(
            f"a mask of shape {np.shape(mask)}: expected the image's, {data.shape}"
        )
    return data


def check_background(data, brain):
    """Describe a background that is brighter than the brain; "" if it is darker.

    The median outside of the mask `brain` is compared with the brain's intensities. A
    background of 0 says nothing: it may have been filled in.
    """
    outside, inside = data[~brain], data[brain]
    outside = np.median(outside) if len(outside) else 0
    if outside == 0 or outside <= np.quantile(inside, BRIGHTER):
        return ""
    return (
        f"the background is brighter than the brain (median {outside:g} outside of its "
        f"mask, {np.median(inside):g} in it): are the intensities inverted?"
    )


def check_axes(affine):
    """Describe axes of voxels that are not at right angles; "" if they are."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.abs(axes.T @ axes - np.eye(3)).max()
    off = np.degrees(np.arcsin(min(cosines, 1.0)))
    if off <= MOST_SHEARED:
        return ""
    return (
        f"the affine has a shear: axes of voxels are {off:.0f} degrees off right "
        "angles, as those of no MRI scanner are; it was taken as it is"
    )


def check_alignment(correlation, turned):
    """Describe a suspicious alignment; "" if it is plausible."""
    if correlation >= LEAST_CORRELATION and turned <= MOST_TURNED:
        return ""
    return (
        f"the alignment may have failed: correlation with the template "
        f"{correlation:.2f} (expected {LEAST_CORRELATION:g} or more), turned by "
        f"{turned:.0f} degrees (at most {MOST_TURNED:.0f}); is it a whole T1 brain, "
        "and its orientation right?"
    )
