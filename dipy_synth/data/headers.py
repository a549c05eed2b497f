"""Headers of NIfTI files: the affine that is taken, and their contradictions."""

import gzip
import zlib

import nibabel as nib
import numpy as np

UNITS = {"meter": 1000.0, "micron": 0.001}  # in mm; all else is mm
VOXEL = (0.05, 50.0)  # mm, sizes that a voxel of a head may have
# of a voxel: rounding in headers moves the far corner of one grid by less
TOLERANCE = 0.05
# Errors of nibabel, gzip and zlib for files that are truncated or of another kind.
BROKEN = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    OSError,
    OverflowError,
    ValueError,
    MemoryError,
)
# reports of nibabel on the geometry of a header, and what it makes of it
_MENDED = {
    "pixdim[1,2,3] should be non-zero": "0 was taken as 1",
    "pixdim[1,2,3] should be positive": "the sign was dropped",
    "form_code": "it was taken as not set",
}


def header_faults(image):
    """Describe what nibabel changes of a header's geometry as it opens a file."""
    name = image.file_map.get("header", image.file_map["image"]).filename
    size = image.header.structarr.dtype.itemsize
    with nib.openers.ImageOpener(name) as stream:
        found = type(image.header).diagnose_binaryblock(stream.read(size))
    return tuple(
        f"header: {line}; {mended}"
        for line in found.splitlines()
        for report, mended in _MENDED.items()
        if report in line
    )


def read_affine(image):
    """Read the affine of an image in mm, and note contradictions of its header.

    It is that of the sform, else the qform, else the voxel sizes alone. Those that are
    not set or cannot be inverted are skipped; it is all zero where none is left. Each
    note, of a tuple, has the choice that was made.
    """
    header = image.header
    known = {name: _coded(image, name) for name in ("sform", "qform")}
    known = {name: affine for name, affine in known.items() if affine is not None}
    notes = [_disagreement(image.shape, header, known)]
    broken = [
        name
        for name in ("sform", "qform")
        if int(header[f"{name}_code"]) > 0 and name not in known
    ]
    if broken and not known:
        return np.zeros((4, 4)), ()
    notes += [f"the {name} cannot be inverted and was not taken" for name in broken]
    if not known:
        notes.append(
            "the header gives no orientation (no sform, no qform); its axes are taken "
            "as left, anterior, superior"
        )
    affine = next(iter(known.values()), header.get_base_affine())
    factor, words = _unit(header, affine)
    affine = np.diag([factor] * 3 + [1.0]) @ affine
    return affine, tuple(filter(None, [*notes, words]))


def _coded(image, name):
    """Read the sform or the qform; None where it is not set, or not spatial."""
    try:
        affine = getattr(image, f"get_{name}")(coded=True)[0]
    except BROKEN:
        return None
    return affine if affine is not None and is_invertible(affine) else None


def is_invertible(affine):
    """Return whether an affine can be inverted: bool."""
    finite = np.all(np.isfinite(affine))
    return bool(finite and abs(np.linalg.det(affine[:3, :3])) > 1e-30)


def affine_distance(shape, affine, other):
    """Bound how far apart two affines place the voxels of a shape: float, in mm."""
    return np.abs((affine - other) * [*shape, 1]).sum(axis=1).max()


def _disagreement(shape, header, known):
    """Describe how far sform, qform and voxel sizes disagree; "" if they agree."""
    if not known:
        return ""
    taken, affine = next(iter(known.items()))
    sizes, zooms = nib.affines.voxel_sizes(affine), np.abs(header.get_zooms()[:3])
    words = []
    if "qform" in known and taken == "sform":
        corner = np.array([*np.array(shape[:3]) - 1, 1])
        corners = (corner * [*places, 1] for places in np.ndindex(2, 2, 2))
        difference = affine - known["qform"]
        apart = max(np.linalg.norm((difference @ c)[:3]) for c in corners)
        if apart > 0.1 * sizes.min():
            words.append(f"sform and qform disagree by up to {apart:.3g} mm")
    if np.any(np.abs(sizes - zooms) > 0.01 * sizes):
        words.append(
            f"the {taken} has voxels of {_sizes(sizes)}, pixdim says {_sizes(zooms)}"
        )
    return f"{'; '.join(words)}; the {taken} was taken" if words else ""


def _sizes(values):
    return " x ".join(f"{value:.3g}" for value in values)


def _unit(header, affine):
    """Return the factor to mm, and a note where the unit is another one."""
    code = int(header["xyzt_units"]) & 7  # the other bits are the unit of time
    if code not in nib.nifti1.unit_codes.value_set():
        return 1.0, f"the header's unit has the unknown code {code}; taken as mm"
    unit = nib.nifti1.unit_codes.label[code]
    if unit not in UNITS:
        return 1.0, ""
    factor, sizes = UNITS[unit], nib.affines.voxel_sizes(affine)
    possible = np.all((sizes * factor >= VOXEL[0]) & (sizes * factor <= VOXEL[1]))
    words = f"the header's unit is {unit} for voxels of {_sizes(sizes)}"
    if possible:
        return factor, f"{words}; they were turned to mm"
    return 1.0, f"{words}, which cannot be; mm was taken"
