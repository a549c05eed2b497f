"""What is written of a synthetic brain: another grid, tissue maps, their sidecars."""

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.data.target import Target, find_target
from dipy_synth.errors import InputError
from dipy_synth.grid import TEMPLATE_ADDRESS, Grid
from dipy_synth.synthesis.images import check_for_images
from dipy_synth.synthesis.outputs import Outputs
from dipy_synth.synthesis.synthetic_cohort import synthesize_cohort
from dipy_synth.utils.files import read_json
from dipy_synth.utils.tables import read_table
from tests.synthesis import test_synthetic_cohort

GRID = Grid((24, 24, 24), (4.0, 4.0, 4.0))
LEVELS = np.array([0, 0.2, 0.6, 0.9])  # of background, fluid, grey and white
MAPS = ("dseg", "label-CSF_probseg", "label-GM_probseg", "label-WM_probseg")


def shells():
    """Fluid about grey about white matter: the truth, 0 to 3."""
    radius = np.sqrt(np.sum((np.indices(GRID.shape) - 11.5) ** 2, axis=0))
    return (radius < 11).astype(int) + (radius < 9) + (radius < 6)


class Model(test_synthetic_cohort.Model):
    """Stands for an LDM whose brains are shells, with some noise."""

    config = {**test_synthetic_cohort.Model.config, "grid": GRID.to_config()}

    def generate(self, *, seed, numbers, conditions, progress, **kwargs):
        self.made += numbers
        progress(len(numbers))
        noise = [np.random.default_rng(i).normal(0, 0.04, GRID.shape) for i in numbers]
        return np.where(shells(), LEVELS[shells()] + noise, 0).astype("float32")


@pytest.fixture(scope="module")
def finer(tmp_path_factory):
    """Return the folder of a brain with its tissues, at 3 mm, and its volume."""
    root = tmp_path_factory.mktemp("finer")
    outputs = Outputs(find_target(voxel_size=[3.0], grid=GRID), tissues=True)
    (path,) = synthesize_cohort(Model(), root, outputs=outputs)
    return root, path


def beside(path, end):
    return path.with_name(path.name.replace("desc-synthetic_T1w", end))


def load(path):
    return nib.load(path).get_fdata()


def test_a_brain_is_written_on_another_grid_that_its_sidecar_describes(finer):
    _, path = finer
    image, target = nib.load(path), find_target(voxel_size=[3.0], grid=GRID)
    assert image.shape == target.shape == (32, 32, 32)
    np.testing.assert_allclose(image.affine, target.affine, atol=1e-3)
    assert image.header["sform_code"] == 4
    assert image.header["descrip"] == b"synthetic, not a scan (dipy_synth)"
    sidecar = read_json(str(path).replace(".nii.gz", ".json"))
    assert sidecar["ContentVoxelSize"] == [4.0, 4.0, 4.0]
    assert "whose voxels are 4 x 4 x 4 mm" in sidecar["Resolution"]
    assert sidecar["SpatialReference"] == TEMPLATE_ADDRESS
    assert image.get_fdata()[0, 0, 0] == 0


@pytest.mark.parametrize("tissues", [False, True])
def test_a_brain_on_the_grid_of_the_model_is_not_interpolated(tmp_path, tissues):
    (path,) = synthesize_cohort(Model(), tmp_path, outputs=Outputs(tissues=tissues))
    expected = Model().generate(seed=0, numbers=[0], conditions=[{}], progress=abs)
    np.testing.assert_array_equal(load(path), expected[0])
    assert "Resolution" not in read_json(str(path).replace(".nii.gz", ".json"))
    found = [p.name for p in path.parent.glob("*.nii.gz") if p != path]
    wanted = [beside(path, end).name for end in MAPS] if tissues else []
    assert sorted(found) == sorted(wanted)


def test_tissues_are_those_of_the_brain(tmp_path):
    (path,) = synthesize_cohort(Model(), tmp_path, outputs=Outputs(tissues=True))
    labels, truth = load(beside(path, "dseg")), shells()
    wanted = np.array([0, 3, 1, 2])[truth]  # BIDS counts grey, white, fluid
    assert np.mean(labels[truth > 0] == wanted[truth > 0]) > 0.97
    shares = np.stack(
        [load(beside(path, f"label-{n}_probseg")) for n in ("GM", "WM", "CSF")]
    )
    np.testing.assert_allclose(shares.sum(axis=0), truth > 0, atol=1e-6)
    inside = truth > 0
    np.testing.assert_array_equal(labels[inside], shares.argmax(axis=0)[inside] + 1)
    rows = read_table(tmp_path / "dseg.tsv")
    assert [(r["index"], r["abbreviation"]) for r in rows] == [
        ("0", "BG"),
        ("1", "GM"),
        ("2", "WM"),
        ("3", "CSF"),
    ]
    sidecar = read_json(str(beside(path, "dseg")).replace(".nii.gz", ".json"))
    assert sidecar["Sources"] == [f"bids::{path.relative_to(tmp_path).as_posix()}"]
    millilitres = 0.064 * np.bincount(labels.astype(int).ravel())[1:]
    assert [*sidecar["TissueVolumes"].values()] == pytest.approx(millilitres, abs=1e-3)


def test_tissues_lie_on_the_grid_of_the_brain(finer):
    root, path = finer
    brain, affine = load(path) > 0, nib.load(path).affine
    shares = []
    for end in MAPS:
        image = nib.load(beside(path, end))
        np.testing.assert_allclose(image.affine, affine)
        sidecar = read_json(str(beside(path, end)).replace(".nii.gz", ".json"))
        assert "Resolution" in sidecar
        assert sidecar["SpatialReference"] == TEMPLATE_ADDRESS
        shares.append(image.get_fdata())
    np.testing.assert_allclose(np.sum(shares[1:], axis=0), brain, atol=1e-6)
    np.testing.assert_array_equal(shares[0] > 0, brain)


def test_what_was_not_requested_before_is_another_request(tmp_path):
    synthesize_cohort(Model(), tmp_path)
    for outputs in (Outputs(tissues=True), Outputs(Target((99,) * 3, GRID.affine))):
        with pytest.raises(InputError, match="Tissues was None|Target"):
            synthesize_cohort(Model(), tmp_path, outputs=outputs)


def test_force_leaves_no_map_behind(tmp_path):
    (path,) = synthesize_cohort(Model(), tmp_path, outputs=Outputs(tissues=True))
    assert len([*path.parent.iterdir()]) == 10
    synthesize_cohort(Model(), tmp_path, force=True)
    assert len([*path.parent.iterdir()]) == 2 and not (tmp_path / "dseg.tsv").exists()


def test_a_brain_whose_maps_are_missing_is_made_again(tmp_path):
    """The volume marks completion: it is written last."""
    outputs = Outputs(tissues=True)
    (path,) = synthesize_cohort(Model(), tmp_path, outputs=outputs)
    maps = {end: beside(path, end).read_bytes() for end in MAPS}
    path.unlink()
    beside(path, "dseg").unlink()
    synthesize_cohort(Model(), tmp_path, outputs=outputs)
    assert {end: beside(path, end).read_bytes() for end in MAPS} == maps


@pytest.mark.parametrize(
    "given", [{"tissues": True}, {"like": "a.nii"}, {"voxel_size": [1.0]}]
)
def test_images_have_neither_tissues_nor_a_grid(given):
    with pytest.raises(InputError, match=f"{next(iter(given))}: for volumes of brains"):
        check_for_images(**given)
