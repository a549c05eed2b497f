"""VQVAE.predict: a scan encoded and decoded, in its native space."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from dipy_synth.data.cohort import Cohort, cohort_config
from dipy_synth.data.nifti import read_volume
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder, sample_patches
from dipy_synth.nn.base import DEFAULT_MODEL
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.predictor import CovariatePredictor
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.synthesis.reconstruction import reconstruct_cohort

GRID = Grid((24, 32, 24), (8.0, 8.0, 8.0))
STEPS = PreprocessConfig(bias=False, align="none", grid=GRID)


@pytest.fixture(scope="module")
def vqvae(bids_folder, tmp_path_factory):
    """Return an autoencoder that does as its PCA."""
    root = tmp_path_factory.mktemp("model")
    prepare_cohort(read_records(bids_folder), root / "prepared", preprocessing=STEPS)
    made, cohort = VQVAE(None), Cohort.load(root / "prepared")
    made.config = cohort_config(cohort)
    made.network = PatchAutoencoder(GRID.shape, channels=(8, 8), blocks=1)
    made.network.initialize_linear(sample_patches(cohort.volumes() * 2.0 - 1.0))
    return VQVAE(made.save(root / "model"))


@pytest.fixture(scope="module")
def record(bids_folder):
    return read_records(bids_folder)[0]


def test_a_scan_comes_back_on_its_own_voxels(vqvae, record):
    data, affine = read_volume(record.image)
    mask = data != 0
    decoded = vqvae.predict(data, affine, mask=mask)
    assert decoded.shape == data.shape and decoded.dtype == np.float32
    assert not decoded[~ndimage.binary_dilation(mask, iterations=2)].any()
    core = ndimage.binary_erosion(mask, iterations=2)  # its rim is blurred twice
    lost = np.abs(decoded - data)[core].mean()
    assert lost < 0.1 * data[core].mean()


def test_orientation_of_a_scan_is_its_own(vqvae, record):
    data, affine = read_volume(record.image)
    mask = data != 0
    image, shape = nib.Nifti1Image(data, affine), nib.Nifti1Image(mask * 1.0, affine)
    turn = nib.orientations.axcodes2ornt(("P", "L", "S"))
    turned, turned_mask = image.as_reoriented(turn), shape.as_reoriented(turn)
    expected = nib.Nifti1Image(vqvae.predict(data, affine, mask=mask), affine)
    decoded = vqvae.predict(turned, mask=turned_mask)
    expected = expected.as_reoriented(turn).get_fdata()
    apart = np.abs(decoded - expected).mean()  # ties at half voxels alone
    assert apart < 0.02 * np.abs(decoded[::-1] - expected).mean()


def test_it_is_what_the_command_writes(vqvae, record, tmp_path):
    reconstruct_cohort(vqvae, [record], tmp_path)
    (path,) = tmp_path.glob("sub-*/anat/*_desc-reconstructed_T1w.nii.gz")
    decoded = vqvae.predict(record.image)
    written = read_volume(path)[0]
    np.testing.assert_allclose(decoded, written, atol=1e-2 * written.max())


def test_what_is_no_scan_is_refused(vqvae):
    with pytest.raises(InputError, match="data without an affine"):
        vqvae.predict(np.ones((8, 8, 8)))
    flat = VQVAE(vqvae.folder)
    flat.config["grid"] = None
    assert vqvae.grid == GRID and flat.grid is None
    with pytest.raises(InputError, match="a model of images"):
        flat.predict(np.ones((8, 8, 8)), np.eye(4))
    with pytest.raises(InputError, match="no weights yet"):
        VQVAE(None).predict(np.ones((8, 8, 8)), np.eye(4))


@pytest.mark.parametrize("wrapper", [VQVAE, LDM, CovariatePredictor])
def test_without_a_name_the_bundled_model_is_loaded(wrapper, monkeypatch):
    names = []
    monkeypatch.setattr(
        wrapper, "load_model_weights", lambda _, name: names.append(name)
    )
    made = wrapper()
    made.fetch_default_weights()
    assert names == [wrapper.default_model] * 2
    assert wrapper(None).network is None and len(names) == 2
    assert VQVAE.default_model == DEFAULT_MODEL
