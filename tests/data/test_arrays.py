"""Images where arrays are expected: nibabel's, paths, and lists of them."""

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.data.arrays import as_volume, as_volumes
from dipy_synth.data.preprocess import prepare_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.anatomy import describe_brain, symmetry
from dipy_synth.metrics.array_checks import check_volumes
from dipy_synth.metrics.similarity import ms_ssim, psnr, ssim
from dipy_synth.phantom import make_phantom

SHAPE, VOXEL = (24, 28, 24), 8.0


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(3, shape=SHAPE, voxel_size=VOXEL)


@pytest.fixture
def image(phantom):
    return nib.Nifti1Image(phantom.data.astype("float32"), phantom.affine)


@pytest.fixture
def path(image, tmp_path):
    nib.save(image, tmp_path / "brain.nii.gz")
    return tmp_path / "brain.nii.gz"


def test_images_and_paths_are_read_as_their_arrays(phantom, image, path):
    for one in (phantom.data, image, path, str(path)):
        np.testing.assert_allclose(as_volume(one), phantom.data, atol=1e-6)
        np.testing.assert_allclose(as_volumes([one, one])[1], as_volume(one))
    assert as_volumes(path).shape == SHAPE
    assert as_volumes([[1.0], [2.0]]).shape == (2, 1)


def test_axes_of_an_image_are_turned_to_ras(phantom, image):
    turned = image.as_reoriented([[1, -1], [0, 1], [2, 1]])
    assert turned.shape == (28, 24, 24)
    np.testing.assert_allclose(as_volume(turned), phantom.data, atol=1e-6)


def test_metrics_and_preparation_take_images(phantom, image, path):
    assert psnr(image, path) == np.inf and ssim(path, image) == pytest.approx(1)
    assert psnr(image, phantom.data * 0.9, mask=path) < 60
    assert ms_ssim(image, path, scales=1) == pytest.approx(1)
    assert symmetry(path) == pytest.approx(symmetry(phantom.data))
    assert check_volumes([image, path], "volumes", shape=SHAPE).shape == (2, *SHAPE)
    grid = Grid(SHAPE, (VOXEL,) * 3)
    options = {"grid": grid, "mean": image, "power": 1.0, "tissues": False}
    assert describe_brain(path, **options)["similarity"] == pytest.approx(1)
    kept = PreprocessConfig(align="none", bias=False, grid=grid)
    wanted = prepare_t1(phantom.data, phantom.affine, preprocessing=kept)
    for one in (image, path):
        found = prepare_t1(one, mask=path, preprocessing=kept)
        np.testing.assert_allclose(found.affine, wanted.affine)
        assert found.data.shape == SHAPE and found.mask.any()


def test_what_is_no_volume_is_refused_in_one_line(image, path, tmp_path):
    with pytest.raises(InputError, match="missing.nii: no such file"):
        as_volume(tmp_path / "missing.nii")
    (tmp_path / "text.nii").write_text("no image")
    with pytest.raises(InputError, match="text.nii"):
        psnr(tmp_path / "text.nii", image)
    two = nib.Nifti1Image(np.zeros((4, 4, 4, 2), "float32"), np.eye(4))
    with pytest.raises(InputError, match=r"\(4, 4, 4, 2\), expected three"):
        as_volume(two)
    colors = nib.Nifti1Image(np.zeros((4, 4, 4), "complex64"), np.eye(4))
    with pytest.raises(InputError, match="complex64 voxels"):
        as_volume(colors)
    small = nib.Nifti1Image(np.zeros((4, 4, 4), "float32"), np.eye(4))
    with pytest.raises(InputError, match="expected one shape"):
        as_volumes([path, small])
    with pytest.raises(InputError, match="expected one shape"):
        psnr(small, path)
    with pytest.raises(InputError, match="without an affine"):
        prepare_t1(np.ones((4, 4, 4)))
    with pytest.raises(InputError, match="with an affine"):
        prepare_t1(path, np.eye(4))
