"""Records of scans, and the BIDS entities of their paths."""

from dataclasses import dataclass, field
import os
from pathlib import Path
import re

from dipy_synth.errors import InputError

ENDING = re.compile(r"\.(nii|img|hdr)(\.gz)?$", re.IGNORECASE)
CONVERT = "nib-convert T1.mgz T1.nii.gz makes NIfTI of FreeSurfer's format"
ENTITY = re.compile(r"([a-zA-Z]+)-([a-zA-Z0-9+]+)")
# The folders of BIDS between that of a session, or subject, and a file.
DATATYPES = "anat beh dwi eeg fmap func ieeg meg micr mrs motion nirs perf pet".split()


@dataclass(frozen=True)
class Record:
    """One scan of a cohort: its files and the covariates of the subject.

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
        Column name to str or None: age, sex and further columns of the tables.
    name : str, optional
        Name of the subject in tables, where it differs from `subject`.
    label_map : Path, optional
        Its label map.
    """

    subject: str
    image: Path
    mask: Path | None = None
    session: str | None = None
    run: str | None = None
    covariates: dict = field(default_factory=dict)
    name: str | None = None
    label_map: Path | None = None

    @property
    def files(self):
        """The scan, its mask and its label map, as far as there are: list of Path."""
        return [p for p in (self.image, self.mask, self.label_map) if p is not None]

    @property
    def key(self):
        """Name of the scan in the prepared cohort: ``sub-X[_ses-Y][_run-Z]``."""
        parts = (("sub", self.subject), ("ses", self.session), ("run", self.run))
        return "_".join(f"{name}-{label}" for name, label in parts if label)


def stem(path):
    """Return a file's name without ``.nii``, ``.nii.gz``, ``.img`` or ``.hdr``."""
    return ENDING.sub("", os.path.basename(path))


def entities(path):
    """Return the BIDS entities of a file name, and its suffix: dict of str.

    Of ``sub-01_desc-brain_T1w.nii.gz`` it has "sub", "desc" and "suffix" (``T1w``).
    Parts that cannot be parsed are missing.
    """
    parts = stem(path).split("_")
    found = (ENTITY.fullmatch(part) for part in parts)
    names = {m[1].lower() if m[1].lower() == "sub" else m[1]: m[2] for m in found if m}
    return {**names, "suffix": parts[-1]}


def is_t1w(path):
    """Return whether a file is a T1 scan of BIDS, no phase: bool."""
    name = stem(path)
    named = name[:4].lower() == "sub-" and name.split("_")[-1].lower() == "t1w"
    return named and entities(path).get("part", "mag") == "mag"


def _not_understood(path):
    """Return the part of a BIDS file's path that cannot be parsed; "" if none.

    It is an entity that is no ``key-label`` of letters and digits, one that is there
    twice, or a folder of another subject or session than the file's name.
    """
    parts = stem(path).split("_")[:-1]
    keys = [part.split("-")[0].lower() for part in parts]
    for part, key in zip(parts, keys):
        if not ENTITY.fullmatch(part):
            return f"{part!r} is no entity (key-label, the label letters and digits)"
        if keys.count(key) > 1:
            return f"{key}- is there twice"
    names = entities(path)
    for folder, key in folders_of(path):
        label = folder.name[4:]
        if label != names.get(key, label if key == "ses" else None):
            return f"it lies in a folder of another {key}-, {folder.name}"
    return ""


def folders_of(path):
    """Return the BIDS folders that a file lies in: list of (Path, "ses" or "sub")."""
    above = list(path.parents)
    if above[0].name.lower() in DATATYPES:
        above.pop(0)
    found = []
    for key in ("ses", "sub"):
        if above and above[0].name[:4].lower() == f"{key}-":
            found.append((above.pop(0), key))
    return found


def labels(path):
    """Return the entities of a file, the session also by its folder: dict of str."""
    names = entities(path)
    for folder, key in folders_of(path):
        if key == "ses":
            names.setdefault("ses", folder.name[4:])
    return names


def bids_root(path):
    """Return the folder above ``sub-X``, or the file's own: Path."""
    own = f"sub-{entities(path).get('sub')}"
    named = [folder for folder in path.parents if folder.name == own]
    found = named or [folder for folder, key in folders_of(path) if key == "sub"]
    return found[0].parent if found else path.parent


def to_label(name):
    """Return a BIDS label made of a name: its letters and digits."""
    return re.sub(r"[^a-zA-Z0-9]", "", name)


def check_names(paths):
    """Refuse T1 scans whose BIDS labels are not understood as a whole."""
    wrong = [(path, why) for path in paths if (why := _not_understood(path))]
    if wrong:
        more = f" (and {len(wrong) - 3} others)" * (len(wrong) > 3)
        named = "; ".join(f"{path}: {why}" for path, why in wrong[:3])
        raise InputError(
            f"{named}{more}; expected names as sub-01_ses-2_T1w.nii.gz, in folders "
            "of the same labels: rename, or choose other files by wildcards"
        )
