"""Brain extraction: a given mask, the foreground of a stripped scan, or a network.

`EXTRACTORS` maps names to callables ``(data, affine) -> mask``. Those that need
weights or another package load them when called, and raise a clear error when they
cannot. "auto" uses only one network, deepbet, for whole heads and where it is
installed, since its weights come with its package.
"""

from functools import partial
from importlib.util import find_spec
import sys

import numpy as np
from scipy.ndimage import binary_fill_holes, label

from dipy_synth.data.brain_networks import NETWORKS, load_network
from dipy_synth.data.intensities import as_mask, background_values
from dipy_synth.errors import InputError

# An adult brain has 0.9 to 1.9 litres, an adult head in the field of view over 2.5.
USUAL = (500.0, 2300.0)  # mL
POSSIBLE = (100.0, 4000.0)  # mL: a preterm infant's; more than any brain
SPECK = 0.01  # of a mask: parts below are no part of a brain
HOW_TO = (
    "to find the brain in whole heads, install deepbet (pip install "
    "'dipy_synth[deepbet]'), which is then used by itself (as with --brain deepbet); "
    "or choose --brain evac or synthseg; or pass brain masks by --mask_path"
)


def volume_of(mask, affine):
    """Compute the volume of a mask (X, Y, Z), with its affine in mm: float, in mL."""
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)


def check_volume_of(volume, brain):
    """Describe an unusual volume of a brain mask, in mL; "" if it is usual.

    One that no human brain has is an InputError. `brain` is a key of `EXTRACTORS`;
    "none" may have any volume above a brain's.
    """
    above = brain != "none"
    words = (
        f"the {'brain mask' if above else 'field of view'} has {volume:.4g} mL, "
        f"expected {USUAL[0]:.0f} to {USUAL[1]:.0f}: is it a brain, are the voxel "
        "sizes right, does the mask fit?"
    )
    if volume < POSSIBLE[0] or (above and volume > POSSIBLE[1]):
        raise InputError(words)
    return words if volume < USUAL[0] or (above and volume > USUAL[1]) else ""


def without_islands(mask):
    """Remove specks of a brain mask (bool), parts below 1 % that touch no other one.

    Returns also a warning where several parts are left; "" if there is one.
    """
    parts, count = label(mask, structure=np.ones((3, 3, 3)))
    if count < 2:
        return mask, ""
    sizes = np.bincount(parts.ravel())[1:] / np.count_nonzero(mask)
    kept = sizes >= min(SPECK, sizes.max())
    words = (
        f"the brain mask has {kept.sum()} parts that do not touch, the largest "
        f"{sizes.max():.0%} of it: is it the mask of one brain?"
    )
    mask = np.concatenate([[False], kept])[parts]
    return mask, words if kept.sum() > 1 else ""


def _nonzero_brain(data, affine=None):
    """Find the brain of a stripped image: what is not its background of one value."""
    if not data.any():
        raise InputError("every voxel is 0: expected a skull-stripped image")
    return binary_fill_holes(without_islands(_without_background(data))[0])


def _without_background(data):
    """Mask out the values that fill a large part of an image, padding included."""
    values = background_values(data)
    found = data != (values[0] if values else 0)
    for value in values[1:]:
        rest = found & (data != value)
        if rest.sum() > 0.01 * found.sum():  # else it is the brain that has one value
            found = rest
    return found


def looks_stripped(data, affine):
    """Return whether an image holds a brain on a background of one value: bool."""
    volume = volume_of(_without_background(data), affine)
    return bool(background_values(data) and volume <= USUAL[1])


def is_installed(package):
    """Return whether a package can be imported, without importing it: bool."""
    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None


def choose_extractor(data, affine, *, mask=None, brain="auto"):
    """Choose the extractor of "auto" for an image: its mask, background, or deepbet.

    Return "given" or a key of `EXTRACTORS`. A whole head with no mask, where
    deepbet is not installed, and an image smaller than a brain are an InputError.
    """
    if brain != "auto":
        return brain
    if mask is not None:
        return "given"
    if looks_stripped(data, affine):
        return "nonzero"
    volume = volume_of(_without_background(data), affine)
    if volume < POSSIBLE[0]:
        raise InputError(
            f"{volume:.4g} mL are not background, expected {USUAL[0]:.0f} or more: too "
            "small for a brain or a head; are the voxel sizes right?"
        )
    if is_installed("deepbet"):
        return "deepbet"
    reason = (
        f"{volume:.0f} mL are not background, at most {USUAL[1]:.0f} mL are taken for "
        "a brain"
        if volume > USUAL[1]
        else "no background of one value"
    )
    raise InputError(
        f"no brain mask was given and this looks like a whole head ({reason}); {HOW_TO}"
    )


def _whole(data, affine):
    """Return a mask of the whole field of view."""
    return np.ones(data.shape, dtype=bool)


def _by_network(name, data, affine):
    """Extract the brain with a network."""
    find = load_network(name)
    try:
        return as_mask(find(_like_a_scan(data).astype(np.float32), affine))
    except Exception as error:  # an empty image fails deep inside of a package
        raise InputError(
            f"brain='{name}' failed on this image: {type(error).__name__}: {error}; "
            "expected a T1 scan of a whole head"
        ) from error


def _like_a_scan(data):
    """Clip negative padding and outliers, which networks were not trained on."""
    if data.min() >= 0:
        low = 0
    else:
        padding = data.min() if data.min() in background_values(data) else None
        low = data[data != padding].min()
    # Outliers: a scanner's brightest voxels are about twice this percentile.
    high = 10 * (np.percentile(data, 99.9) - low)
    return (data - low).clip(0, high if high > 0 else None)


EXTRACTORS = {
    "nonzero": _nonzero_brain,
    "none": _whole,
    **{name: partial(_by_network, name) for name in NETWORKS},
}


def find_brain(data, affine, *, mask=None, brain="auto"):
    """Compute the mask of the brain in a T1 volume.

    Parameters
    ----------
    data : ndarray of shape (X, Y, Z)
        The volume.
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm.
    mask : ndarray of shape (X, Y, Z), optional
        A known mask: of 0 and 1, probabilities of any scale, or labels. "auto" and
        "given" use it, the other extractors ignore it.
    brain : str, optional
        "given", a key of `EXTRACTORS`, or "auto", which uses the mask if there is one,
        the foreground of a skull-stripped image, and deepbet, where it is installed,
        for a whole head.

    Returns
    -------
    ndarray of shape (X, Y, Z), bool

    Raises
    ------
    InputError
        If there is no mask and none can be made, or it is empty.
    """
    extractor = choose_extractor(data, affine, mask=mask, brain=brain)
    if extractor != "given":
        found = np.asarray(EXTRACTORS[extractor](data, affine), dtype=bool)
    elif mask is None:
        raise InputError(
            "brain='given', but there is no mask for this image (mask_path)"
        )
    else:
        found = as_mask(mask)
    if not found.any():
        raise InputError("the brain mask is all zero: expected a brain")
    return found
