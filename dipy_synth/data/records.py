"""What a scan of a cohort is, and what its file name tells."""

from dataclasses import dataclass, field
import glob
from pathlib import Path
import re

from dipy_synth.errors import InputError

ENTITY = re.compile(r"(?:^|_)([a-zA-Z]+)-([a-zA-Z0-9+]+)")


@dataclass(frozen=True)
class Record:
    """One scan of a cohort, where it lies and what is known of the subject.

    Parameters
    ----------
    subject : str
        BIDS label, without ``sub-``.
    image : Path
        The T1 scan.
    mask : Path, optional
        Its brain mask.
    session, run : str, optional
        BIDS labels, without ``ses-`` and ``run-``.
    covariates : dict, optional
        Column name to str or None: age, sex and whatever the source tells.
    """

    subject: str
    image: Path
    mask: Path | None = None
    session: str | None = None
    run: str | None = None
    covariates: dict = field(default_factory=dict)

    @property
    def key(self):
        """Name of the scan in the prepared cohort: ``sub-X[_ses-Y][_run-Z]``."""
        parts = (("sub", self.subject), ("ses", self.session), ("run", self.run))
        return "_".join(f"{name}-{label}" for name, label in parts if label)


def stem(path):
    """Give a file's name without ``.nii`` or ``.nii.gz``."""
    return re.sub(r"\.nii(\.gz)?$", "", Path(path).name)


def entities(path):
    """Give the BIDS entities of a file name, and its suffix.

    Parameters
    ----------
    path : str or Path
        For instance ``sub-01_ses-2_desc-brain_T1w.nii.gz``.

    Returns
    -------
    dict of str
        Entity to label; "suffix" to the last part, for instance ``T1w``.
    """
    found = dict(ENTITY.findall(stem(path)))
    return {**found, "suffix": stem(path).split("_")[-1]}


def to_label(name):
    """Make a BIDS label of a name: letters and digits only."""
    return re.sub(r"[^a-zA-Z0-9]", "", name)


def list_images(inputs):
    """List the NIfTI files that folders, files and wildcards stand for.

    Parameters
    ----------
    inputs : str, Path or sequence of them
        A folder stands for every NIfTI file below it.

    Returns
    -------
    list of Path
        Sorted, each once.

    Raises
    ------
    InputError
        If one of the inputs stands for nothing.
    """
    inputs = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    if not inputs:
        raise InputError("no input: expected a folder, files, or wildcards")
    found = set()
    for given in inputs:
        paths = [Path(p) for p in glob.glob(str(given), recursive=True)]
        below = {p for path in paths or [Path(given)] for p in images_below(path)}
        if not below:
            raise InputError(f"{given}: no NIfTI image there (.nii or .nii.gz)")
        found |= below
    return sorted(found)


def images_below(path):
    """List a folder's NIfTI files; a file stands for itself.

    Parameters
    ----------
    path : Path
        A folder or a file.

    Returns
    -------
    list of Path
    """
    if path.is_dir():
        names = [*path.rglob("*.nii.gz"), *path.rglob("*.nii")]
        return [p for p in names if not p.name.startswith(".") and not p.is_dir()]
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    return [path]
