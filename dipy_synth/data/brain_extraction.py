"""Where the brain is: a mask that was given, what is not zero, or a network's answer.

`EXTRACTORS` names the ways. Each is a callable ``(data, affine) -> mask``; those that
need weights or another package load them when they are called, and say so clearly
when they cannot. None of them is used unless it is asked for.
"""

from functools import lru_cache, partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from dipy.data.fetcher import dipy_home
from dipy.utils.logging import logger
import nibabel as nib
import numpy as np
from scipy.ndimage import binary_fill_holes, label

from dipy_synth.errors import InputError

# An adult brain has 0.9 to 1.9 litres, an adult head in the field of view over 2.5.
LARGEST_BRAIN = 2300.0  # mL
SMALLEST_BACKGROUND = 0.15  # part of the voxels that a skull-stripped image has at 0


def volume_of(mask, affine):
    """Give the volume of a mask.

    Parameters
    ----------
    mask : ndarray of bool, (X, Y, Z)
        The mask.
    affine : ndarray, (4, 4)
        Voxel-to-world affine, in mm.

    Returns
    -------
    float
        In mL.
    """
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)


def largest_part(mask):
    """Keep the largest connected part of a mask and fill its holes.

    Parameters
    ----------
    mask : ndarray of bool, (X, Y, Z)
        Not empty.

    Returns
    -------
    ndarray of bool, (X, Y, Z)
    """
    parts, count = label(mask)
    if count > 1:
        mask = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    return binary_fill_holes(mask)


def nonzero_brain(data, affine=None):
    """Find the brain of an image that is skull-stripped already.

    Parameters
    ----------
    data : ndarray, (X, Y, Z)
        The volume, 0 outside of the brain.
    affine : ndarray, (4, 4), optional
        Not used; every extractor takes it.

    Returns
    -------
    ndarray of bool, (X, Y, Z)
    """
    if not data.any():
        raise InputError("every voxel is 0: expected a skull-stripped image")
    return largest_part(data != 0)


def looks_stripped(data, affine):
    """Tell whether an image holds a brain on a background of exact zeros.

    Parameters
    ----------
    data : ndarray, (X, Y, Z)
        The volume.
    affine : ndarray, (4, 4)
        Voxel-to-world affine, in mm.

    Returns
    -------
    bool
    """
    background = np.mean(data == 0) >= SMALLEST_BACKGROUND
    return bool(background and volume_of(data != 0, affine) <= LARGEST_BRAIN)


def _auto(data, affine):
    """Use the zeros of a skull-stripped image; refuse a whole head."""
    if looks_stripped(data, affine):
        return nonzero_brain(data)
    raise InputError(
        f"no brain mask was given and this looks like a whole head "
        f"({volume_of(data != 0, affine):.0f} mL are not 0, at most "
        f"{LARGEST_BRAIN:.0f} mL are taken for a brain); expected masks (mask_path) or "
        "the choice of a brain extraction (evac, synthseg or deepbet)"
    )


def _given(data, affine):
    """Answer when a mask was promised and none came."""
    raise InputError("brain='given', but there is no mask for this image (mask_path)")


def _whole(data, affine):
    """Take the whole field of view."""
    return np.ones(data.shape, dtype=bool)


def _by_network(name, data, affine):
    """Ask a network."""
    find = load_network(name)
    try:
        return np.asarray(find(data.astype(np.float32), affine)) > 0.5
    except Exception as error:  # an empty image fails deep inside of a package
        raise InputError(
            f"brain='{name}' failed on this image: {type(error).__name__}: {error}; "
            "expected a T1 scan of a whole head"
        ) from error


@lru_cache(maxsize=1)
def load_network(name):
    """Load a network that finds brains; the last one is kept for the next scan.

    Parameters
    ----------
    name : {"evac", "synthseg", "deepbet"}
        EVAC+ (Park et al., 2024) or SynthSeg (Billot et al., 2023) as DIPY has them,
        or deepbet (Fisch et al., 2024), a package of its own.

    Returns
    -------
    callable
        ``(data, affine) -> mask``.

    Raises
    ------
    InputError
        If its package is not installed, or its weights cannot be had.
    """
    try:
        return NETWORKS[name]()
    except Exception as error:  # each package fails in its own way
        raise InputError(
            f"brain='{name}': {type(error).__name__}: {error}. Expected its package "
            f"({PACKAGES[name]}) and, the first time, the network for its weights; or "
            "masks (mask_path); or skull-stripped scans"
        ) from error


def _evac():
    from dipy.nn.evac import EVACPlus

    network = _of_dipy(EVACPlus, "evac")
    return network.predict


def _synthseg():
    from dipy.nn.synthseg import SynthSeg

    network = _of_dipy(SynthSeg, "synthseg")
    # Labels, their names, and the mask of what has a label.
    return lambda data, affine: network.predict(data, affine)[2]


def _of_dipy(kind, name):
    """Make one of DIPY's networks, and leave its logger and its memory alone."""
    _check_weights(name)
    level = logger.level
    try:
        network = kind(verbose=True)  # False would silence DIPY's logger for good
    finally:
        logger.setLevel(level)
    if kind.__module__.startswith("dipy.nn.torch"):
        # predict() keeps what a gradient would need, gigabytes of it, unless told.
        network.model.requires_grad_(False)
    return network


def _check_weights(name):
    """Fail at once where DIPY, with no network, would retry for half a minute."""
    if any(Path(dipy_home, name).glob("*weights*")):
        return
    try:
        with urlopen(Request(WEIGHTS, method="HEAD"), timeout=10):
            pass
    except HTTPError:
        pass  # a server has answered: the rest is the download's business
    except OSError as error:
        folder = Path(dipy_home, name)
        raise InputError(
            f"no weights in {folder}, and {WEIGHTS} cannot be reached ({error})"
        ) from error


def _deepbet():
    from deepbet import BrainExtraction

    network = BrainExtraction(no_gpu=True)  # its weights are in its package

    def find(data, affine):
        _, mask, _ = network.run(nib.Nifti1Image(data, affine))
        return np.asanyarray(mask.dataobj)

    return find


NETWORKS = {"evac": _evac, "synthseg": _synthseg, "deepbet": _deepbet}
PACKAGES = {
    "evac": "torch or tensorflow",
    "synthseg": "torch",
    "deepbet": "pip install dipy_synth[deepbet]",
}
WEIGHTS = "https://ndownloader.figshare.com/"  # where DIPY has its weights from
# The ways to find a brain: (data, affine) -> mask.
EXTRACTORS = {
    "auto": _auto,
    "given": _given,
    "nonzero": nonzero_brain,
    "none": _whole,
    **{name: partial(_by_network, name) for name in NETWORKS},
}


def find_brain(data, affine, *, mask=None, brain="auto"):
    """Give the mask of the brain in a T1 volume.

    Parameters
    ----------
    data : ndarray, (X, Y, Z)
        The volume.
    affine : ndarray, (4, 4)
        Voxel-to-world affine, in mm.
    mask : ndarray, (X, Y, Z), optional
        A mask that is known. "auto" and "given" use it, the others look anew.
    brain : str, optional
        A key of `EXTRACTORS`. "auto" takes the mask if there is one, and what is
        not 0 in a skull-stripped image otherwise.

    Returns
    -------
    ndarray of bool, (X, Y, Z)

    Raises
    ------
    InputError
        If there is no mask and none can be made, or it is empty.
    """
    if mask is not None and brain in ("auto", "given"):
        found = np.asarray(mask) > 0.5
    else:
        found = np.asarray(EXTRACTORS[brain](data, affine), dtype=bool)
    if not found.any():
        raise InputError("the brain mask is all zero: expected a brain")
    return found
