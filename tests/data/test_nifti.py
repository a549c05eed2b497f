"""Files that are not what they should be, each named."""

import gzip
import os
import re
import struct

import nibabel as nib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

from dipy_synth.data.arrays import read_image
from dipy_synth.data.nifti import check_headers, read_scan, read_volume, write_volume
from dipy_synth.errors import InputError


@pytest.fixture
def save(tmp_path):
    """Write an image; give its path."""

    def write(name, data=None, affine=None):
        data = np.random.default_rng(0).random((6, 7, 8)) if data is None else data
        affine = np.diag([2.0, 2, 2, 1]) if affine is None else affine
        nib.save(nib.Nifti1Image(data, affine), tmp_path / name)
        return tmp_path / name

    return write


def test_what_is_written_is_read(tmp_path):
    data, affine = np.random.default_rng(0).random((3, 4, 5)), np.diag([-2.0, 3, 4, 1])
    write_volume(tmp_path / "new" / "a.nii.gz", data.astype(np.float32), affine)
    found, found_affine = read_volume(tmp_path / "new" / "a.nii.gz")
    assert_allclose(found, data, rtol=1e-6)
    assert_allclose(found_affine, affine)
    header = nib.load(tmp_path / "new" / "a.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert header.get_xyzt_units()[0] == "mm"


def test_a_last_axis_of_one_is_dropped(save):
    assert read_volume(save("a.nii", np.ones((3, 4, 5, 1))))[0].shape == (3, 4, 5)


@pytest.mark.parametrize(
    "data, match",
    [
        (np.ones((3, 4, 5, 2)), r"shape \(3, 4, 5, 2\), expected three dimensions"),
        (np.ones((3, 4)), r"shape \(3, 4\), expected three"),
        (np.ones((3, 4, 5), np.complex64), "complex64 voxels"),
    ],
)
def test_images_of_another_kind_are_refused(save, data, match):
    with pytest.raises(InputError, match=f"a.nii: {match}"):
        check_headers(save("a.nii", data))


def test_files_that_are_no_nifti_are_refused(save, tmp_path):
    (tmp_path / "text.nii.gz").write_text("no image")
    (tmp_path / "packed.nii.gz").write_bytes(gzip.compress(b"no image"))
    (tmp_path / "empty.nii.gz").touch()
    nib.save(
        nib.MGHImage(np.ones((3, 4, 5), np.float32), np.eye(4)), tmp_path / "a.mgz"
    )
    for name in ("text.nii.gz", "packed.nii.gz", "empty.nii.gz", "a.mgz"):
        with pytest.raises(InputError, match=f"{name}: .*NIfTI") as refused:
            check_headers(tmp_path / name)
    assert "nib-convert T1.mgz T1.nii.gz" in str(refused.value)
    analyze = nib.AnalyzeImage(np.ones((3, 4, 5), np.float32), None)
    nib.save(analyze, tmp_path / "b.img")
    with pytest.raises(InputError, match="b.img: .*Analyze has no orientation"):
        check_headers(tmp_path / "b.img")
    with pytest.raises(InputError, match="absent.nii: no such file"):
        check_headers(tmp_path / "absent.nii")


def test_a_file_without_permission_is_named(save):
    path = save("a.nii", np.ones((3, 4, 5), "int16"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(InputError, match="a.nii: no permission to read it"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_file_cut_short_is_reported(save, name):
    path = save(name, np.random.default_rng(0).random((20, 20, 20)))
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match=f"{name}: .*cut short"):
        read_volume(path)


def patched(path, place, kind, *values):
    """Change bytes of the header of a file, packed or not; give its path."""
    packed = path.suffix == ".gz"
    content = bytearray(
        gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    )
    struct.pack_into(kind, content, place, *values)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_that_begin_in_the_header_are_refused(save, name):
    path = patched(save(name), 108, "<f", 0)
    for read in (check_headers, read_volume, lambda path: read_image(nib.load(path))):
        with pytest.raises(InputError, match=f"{name}: .* begin at byte 0 .*352"):
            read(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
@pytest.mark.parametrize("dim", [(3, 6, 7, 5, 1), (3, 6, 7, 4, 2)])
def test_a_header_that_gives_a_part_of_the_voxels_is_refused(tmp_path, name, dim):
    data = np.random.default_rng(0).random((6, 7, 8))
    data[:, :, 6:] = 0  # empty slices count, too
    kind = nib.Nifti1Pair if name == "a.img" else nib.Nifti1Image
    nib.save(kind(data, np.eye(4)), tmp_path / name)
    patched(tmp_path / name.replace("img", "hdr"), 40, "<5h", *dim)
    slices = 8 - dim[3]
    with pytest.raises(InputError, match=f"{name}: .* more, {slices} slices"):
        read_volume(tmp_path / name)


def test_two_volumes_in_one_gzip_are_refused_and_padding_is_read(save):
    data = np.random.default_rng(0).random((6, 7, 8))
    path = save("a.nii.gz", data)
    packed = path.read_bytes()
    for padding in (gzip.compress(bytes(99999)), gzip.compress(b"x" * 9), bytes(512)):
        path.write_bytes(packed + padding)
        assert_allclose(read_volume(path)[0], data, rtol=1e-6)
    path.write_bytes(packed + packed)
    with pytest.raises(InputError, match="a.nii.gz: .* more, 9 slices"):
        read_volume(path)


@pytest.mark.parametrize("place", [0.5, -8, -4])
def test_a_damaged_gzip_is_reported(save, place):
    path = save("a.nii.gz", np.random.default_rng(0).random((20, 20, 20)))
    content = bytearray(path.read_bytes())
    content[int(place * len(content)) if place > 0 else place] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="a.nii.gz: .*cannot be read"):
        read_volume(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "expected 1 to 2147483648"),
        ({"dim": [4, 6, 7, 8, 0, 1, 1, 1]}, "expected three dimensions"),
        ({"dim": [3, 6, -7, 8, 1, 1, 1, 1]}, "a.nii"),
        ({"pixdim": [1, 0, 2, 2, 1, 1, 1, 1]}, "note: 0 was taken as 1"),
        ({"pixdim": [1, -2, 2, 2, 1, 1, 1, 1]}, "note: sign was dropped"),
        ({"sform_code": 77}, "note: sform_code 77 not valid; it was taken"),
    ],
)
def test_impossible_headers_are_refused_or_named(save, change, words, caplog):
    path = headers(save, "a.nii", qform=TWO)
    header = nib.load(path).header.structarr.copy()
    header["vox_offset"] = 352  # nibabel gives 0
    for name, value in change.items():
        header[name] = value
    path.write_bytes(header.tobytes() + path.read_bytes()[header.nbytes :])
    try:
        found = "note: " + " ".join(check_headers(path))
    except InputError as error:
        found = str(error)
    for word in words.split(": "):
        assert word in found
    assert not caplog.records  # nibabel's own, which name no file


def test_a_mask_must_share_the_grid_and_hold_something(save):
    image, affine = save("t1.nii.gz"), np.diag([2.0, 2, 2, 1])
    shifted = affine.copy()
    shifted[0, 3] = 1
    ones = np.ones((6, 7, 8), np.uint8)
    with pytest.raises(InputError, match=r"m.nii: a mask of shape \(6, 7, 9\).*t1.nii"):
        check_headers(image, save("m.nii", np.ones((6, 7, 9), np.uint8)))
    with pytest.raises(InputError, match="m.nii: the mask's affine .*1.00 mm"):
        check_headers(image, save("m.nii", ones, shifted))
    with pytest.raises(InputError, match="m.nii: .*all zero"):
        read_scan(image, save("m.nii", ones * 0))
    shifted[0, 3] = 1e-3  # what a header loses by rounding
    assert read_scan(image, save("m.nii", ones, shifted))[2].all()


def test_an_image_without_orientation_is_reported(save):
    path = save("a.nii")
    image = nib.load(path)
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, path)
    assert "no orientation" in check_headers(path)[0]


def headers(save, name, *, sform=None, qform=None, unit="mm", zooms=None):
    """An image with chosen sform and qform; give its path."""
    path = save(name)
    image = nib.load(path)
    for change, affine in ((image.set_qform, qform), (image.set_sform, sform)):
        change(affine, code=0 if affine is None else 1)
    if zooms is not None:
        image.header["pixdim"][1:4] = zooms
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


TWO, HALF = np.diag([2.0, 2, 2, 1]), np.diag([1.0, 1, 1, 1])
FLIPPED = np.diag([-2.0, 2, 2, 1])


@pytest.mark.parametrize(
    "header, taken, words",
    [
        ({"sform": TWO, "qform": TWO}, TWO, None),
        ({"qform": TWO}, TWO, None),
        ({"sform": TWO, "qform": FLIPPED}, TWO, "disagree by up to 20 mm; the sform"),
        (
            {"sform": HALF, "zooms": (6, 6, 6)},
            HALF,
            "sform has voxels of 1 x 1 x 1, pixdim says 6 x 6 x 6; the sform was",
        ),
        ({"sform": TWO * 0, "qform": TWO}, TWO, "sform cannot be inverted"),
        ({"qform": TWO / 1000, "unit": "meter"}, TWO, "meter .*turned to mm"),
        ({"qform": TWO * 1000, "unit": "micron"}, TWO, "micron .*turned to mm"),
        ({"sform": TWO, "unit": "meter"}, TWO, "meter .*cannot be; mm was taken"),
        ({"sform": TWO, "unit": "unknown"}, TWO, None),
    ],
)
def test_headers_of_two_minds_are_named_with_what_was_taken(save, header, taken, words):
    header = dict(header)
    for name in ("sform", "qform"):
        if name in header:
            header[name] = header[name].copy()
            header[name][3] = [0, 0, 0, 1]
    path = headers(save, "a.nii", **header)
    notes = check_headers(path)
    assert_allclose(read_volume(path)[1], taken, atol=1e-5)
    if words is None:
        assert notes == ()
    else:
        (note,) = notes
        assert re.search(words, note)


def test_an_affine_that_cannot_be_inverted_is_refused(save):
    singular = np.diag([2.0, 2, 0, 1])
    with pytest.raises(InputError, match="a.nii: .*inverted"):
        check_headers(headers(save, "a.nii", sform=singular))


@pytest.mark.parametrize("scale", [100, 255])
def test_a_mask_in_per_cent_is_read_at_its_half(save, scale):
    mask = np.zeros((6, 7, 8), np.uint8)
    mask[1:5, 1:6, 1:7] = scale
    mask[0] = 0.4 * scale
    found = read_scan(save("t1.nii.gz"), save("m.nii.gz", mask))[2]
    assert_array_equal(found, mask == scale)


@pytest.mark.parametrize("space, code", [("scanner", 1), ("aligned", 2), ("mni", 4)])
def test_the_space_is_in_the_codes(tmp_path, space, code):
    write_volume(tmp_path / "a.nii", np.ones((3, 4, 5), "f4"), TWO, space=space)
    header = nib.load(tmp_path / "a.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (code, code)
