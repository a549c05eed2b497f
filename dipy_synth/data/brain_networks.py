"""Networks that extract brains, each loaded when it is first used."""

from functools import lru_cache
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from dipy.data.fetcher import dipy_home
from dipy.utils.logging import logger
import nibabel as nib
import numpy as np

from dipy_synth.errors import InputError


@lru_cache(maxsize=1)
def load_network(name):
    """Load a brain extraction network; the last one is cached for the next scan.

    It is "evac" (EVAC+ :footcite:p:`park2024evac`) or "synthseg" (SynthSeg
    :footcite:p:`billot2023synthseg`) of DIPY, or "deepbet"
    :footcite:p:`fisch2024deepbet`, a package of its own. Return a callable
    ``(data, affine) -> mask``. An InputError says what is not installed, or that the
    weights cannot be downloaded.

    References
    ----------
    .. footbibliography::
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
    """Make one of DIPY's networks without its effects on logger and memory."""
    _check_weights(name)
    level = logger.level
    try:
        network = kind(verbose=True)  # False would silence DIPY's logger for good
    finally:
        logger.setLevel(level)
    if kind.__module__.startswith("dipy.nn.torch"):
        # predict() keeps activations for a gradient, gigabytes, unless disabled.
        network.model.requires_grad_(False)
    return network


def _check_weights(name):
    """Fail at once where DIPY, without internet, would retry for half a minute."""
    if any(Path(dipy_home, name).glob("*weights*")):
        return
    try:
        with urlopen(Request(WEIGHTS, method="HEAD"), timeout=10):
            pass
    except HTTPError:
        pass  # a server has answered: other errors are raised by the download
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
WEIGHTS = "https://ndownloader.figshare.com/"  # from where DIPY downloads its weights
