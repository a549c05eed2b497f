"""Search of the images of a study, below folders that may hold other files, too."""

from dataclasses import dataclass, field
import glob
import os
from pathlib import Path
import re

from dipy_synth.data.records import CONVERT
from dipy_synth.errors import InputError
from dipy_synth.utils.files import read_object

NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
PAIR = re.compile(r"\.(img|hdr)(\.gz)?$", re.IGNORECASE)
# Other images of the field, which are not read.
OTHERS = re.compile(
    r"\.(mg[hz]|nrrd|nhdr|mha|mhd|mnc|dcm|ima|par|gipl|head|brik|mif|zip|tar|tgz|7z)"
    r"(\.gz)?$",
    re.IGNORECASE,
)
FREESURFER = re.compile(r"\.mg[hz]$", re.IGNORECASE)
# What a download, a copy or another program makes of the name of an image.
NEARLY = re.compile(r"\.nii(?![a-z]).*$", re.IGNORECASE)
SIDECAR = re.compile(r"\.(json|txt|csv|tsv|md5|sha\d+|xml|png|html?)$", re.IGNORECASE)
# Folders beside the data of a study: archives, what a system or a program keeps.
ASIDE = {"__macosx", "sourcedata", "@eadir", "lost+found", "$recycle.bin"}
OURS, ASIDE_WHY = "made by dipy_synth", "in folders that are not data"


@dataclass
class Listing:
    """The images that inputs stand for, and what was left out.

    Attributes
    ----------
    images : list of Path
        Sorted, each once.
    roots : dict of Path to Path
        The folder that was given, for images below one.
    named : set of Path
        Images given by their own path.
    left_out : dict of str to list of Path
        Reason to files or folders.
    """

    images: list = field(default_factory=list)
    roots: dict = field(default_factory=dict)
    named: set = field(default_factory=set)
    left_out: dict = field(default_factory=dict)
    _own: dict = field(default_factory=dict, repr=False)

    def leave_out(self, why, path):
        """Record that a file or folder is not read."""
        self.left_out.setdefault(why, []).append(path)

    def is_own(self, folder):
        """Return whether dipy_synth wrote a folder; the answer is cached."""
        if folder not in self._own:
            self._own[folder] = is_own_output(folder)
        return self._own[folder]


def find_images(inputs):
    """Find the images that folders, files and wildcards stand for: Listing.

    A folder stands for every NIfTI image below it (``.nii``, ``.nii.gz``, or ``.img``
    with its ``.hdr``, in any case); links are followed. Left out, unless they are given
    by name themselves: hidden files and folders, ``sourcedata``, ``__MACOSX`` and the
    like, and cohorts that dipy_synth wrote. An input that stands for nothing is an
    InputError.
    """
    inputs = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    if not all(str(given).strip() for given in inputs) or not inputs:
        raise InputError(
            "no input, or an empty one: expected a folder, files, or wildcards"
        )
    listing, found = Listing(), {}
    for given in inputs:
        below = set(_meant(_tidied(str(given)), listing))
        if not below:
            raise InputError(f"{given}: no NIfTI image there{_left_out_text(listing)}")
        for path in below:  # each file once, however it is spelled
            found.setdefault(os.path.abspath(path), path)
    listing.images = sorted(found.values())
    listing.named = {found[os.path.abspath(path)] for path in listing.named}
    return listing


def _tidied(given):
    """Return a path without ``..`` and the like, where it is of the same file: str."""
    short = os.path.normpath(given)
    return short if os.path.realpath(short) == os.path.realpath(given) else given


def list_images(inputs):
    """List the images that folders, files and wildcards stand for: list of Path."""
    return find_images(inputs).images


def _left_out_text(listing):
    kinds = ", ".join(f"{len(v)} {why}" for why, v in listing.left_out.items())
    return f" (.nii, .nii.gz, or .img with .hdr){'; left out: ' * bool(kinds)}{kinds}"


def _meant(given, listing):
    """Yield the images that one input stands for."""
    path = Path(given)
    if not glob.has_magic(given) or os.path.lexists(given):
        if path.is_dir():
            yield from images_below(path, listing=listing)
        elif os.path.lexists(path):
            listing.named.add(path)
            yield path
        else:
            raise InputError(f"{path}: no such file or folder")
        return
    for match in map(Path, sorted(glob.glob(given, recursive=True))):
        folders = _beyond(match, given)
        if match.name.startswith(".") or any(is_aside(p.name) for p in folders):
            listing.leave_out(ASIDE_WHY, match)
        elif match.is_dir():
            yield from images_below(match, listing=listing)
        elif is_image_name(match, listing):
            if any(map(listing.is_own, folders)) and not _names_it(given, match):
                listing.leave_out(OURS, match)
            else:
                yield match


def _beyond(match, pattern):
    """Return the folders of a match that its pattern does not name: list of Path."""
    literal = set(Path(pattern).parts)
    return [p for p in match.parents if p.name and p.name not in literal]


def _names_it(pattern, match):
    """Return whether a pattern names the description (``desc-``) of a match."""
    found = re.search(r"_(desc-[a-zA-Z0-9]+)", match.name)
    return bool(found) and found[1] in pattern


def is_aside(name):
    """Return whether a folder holds no data of the study, by its name."""
    return name.startswith(".") or name.casefold() in ASIDE


def is_own_output(folder):
    """Return whether dipy_synth wrote a folder, by its dataset_description.json."""
    path = Path(folder) / "dataset_description.json"
    if not os.path.isfile(path):  # also where the folder may not be read
        return False
    try:
        description = read_object(path)
    except (InputError, PermissionError):
        return False
    makers = description.get("GeneratedBy")
    makers = makers if isinstance(makers, list) else []
    names = [m.get("Name") for m in makers if isinstance(m, dict)]
    return "dipy_synth" in names or "DipySynth" in description


def is_image_name(path, listing=None):
    """Return whether a file is a NIfTI image by its name; record other images."""
    if NIFTI.search(path.name):
        return True
    why, found = None, OTHERS.search(path.name) or NEARLY.search(path.name)
    if end := PAIR.search(path.name):
        other = path.with_name(PAIR.sub(_other_end, path.name))
        if os.path.lexists(other):
            return "img" in end[0].lower()
        why = f"without .{PAIR.search(other.name)[1].lower()} beside"
    elif found and not SIDECAR.search(path.name):
        why = f"{found[0].lower()}, which is not read"
        why += f": {CONVERT}" * bool(FREESURFER.search(path.name))
    if why and listing is not None:
        listing.leave_out(why, path)
    return False


def _other_end(end):
    """Return the ending of the other file of a pair, in the same case."""
    pairs = [("img", "hdr"), ("IMG", "HDR")]
    pairs += [pair[::-1] for pair in pairs]
    return next((end[0].replace(a, b) for a, b in pairs if a in end[0]), end[0])


def images_below(root, *, listing=None):
    """List a folder's NIfTI images, those of folders that are links too.

    `listing` receives the root of each image, and what is left out.
    """
    listing = Listing() if listing is None else listing
    found = []
    waiting = [(Path(root), (os.path.realpath(root),))]
    while waiting:
        folder, above = waiting.pop()
        for entry in _entries(folder, listing):
            path = folder / entry.name
            if not _is_dir(entry):
                if is_image_name(path, listing):
                    found.append(path)
                elif not path.suffix and not path.exists():
                    listing.leave_out("links to what is not there", path)
                continue
            real = os.path.realpath(path) if entry.is_symlink() else None
            if real and any(f"{a}/".startswith(f"{real}/") for a in above):
                continue  # a link back to a folder that holds it
            if is_own_output(path):
                listing.leave_out(OURS, path)
            elif is_aside(entry.name):
                listing.leave_out(ASIDE_WHY, path)
            else:
                real = real or os.path.join(above[-1], entry.name)
                waiting.append((path, (*above, real)))
    listing.roots.update(dict.fromkeys(found, Path(root)))
    return found


def _is_dir(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder, listing):
    """Return what a folder holds, less hidden files; none where it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if e.name[0] != "." or _is_dir(e)]
    except PermissionError:
        listing.leave_out("in folders that may not be read", folder)
        return []
