"""Image and labels together: trained, kept where unknown, generated, written."""

import json
import shutil

import nibabel as nib
import numpy as np
from numpy.testing import assert_array_equal
import pytest

from dipy_synth.data.cohort import Cohort, cohort_config
from dipy_synth.data.label_maps import read_label_map
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.prepared import label_path
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.data.split import SPLITS
from dipy_synth.diffusion.latents import encode_cohort, encode_volumes
from dipy_synth.errors import InputError
from dipy_synth.evaluation import load_volumes
from dipy_synth.grid import Grid
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.phantom import KINDS, make_phantom, simulate_tumor
from dipy_synth.synthesis.outputs import Outputs
from dipy_synth.synthesis.reconstruction import reconstruct_cohort
from dipy_synth.synthesis.synthetic_cohort import synthesize_cohort
from dipy_synth.training import TrainingSettings
from dipy_synth.utils.files import read_json
from dipy_synth.utils.tables import read_table, write_table

GRID = Grid((16, 24, 16), (10.0, 8.0, 10.0))
SETTINGS = TrainingSettings(epochs=2, batch_size=4, learning_rate=1e-3)
VALUE, LACKING = 7, "sub-03"  # of the tumour; a scan without a label map


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Phantoms with a tumour each, and their masks but for one."""
    root, rows = tmp_path_factory.mktemp("labelled"), []
    for number in range(8):
        name = f"sub-{number:02d}"
        phantom = make_phantom(number, shape=GRID.shape, voxel_size=GRID.voxel_size)
        image, tumor = simulate_tumor(
            phantom.data,
            phantom.mask,
            kind=KINDS[number % 3],
            location=("frontal-left", "occipital-right")[number % 2],
            size_mm=60,
            affine=phantom.affine,
        )
        for data, folder, end in ((image, "study", "T1w"), (tumor, "labels", "dseg")):
            path = root / folder / name / "anat" / f"{name}_{end}.nii.gz"
            path.parent.mkdir(parents=True)
            data = data.astype("float32") if end == "T1w" else VALUE * data.astype("u1")
            if not (end == "dseg" and name == LACKING):
                nib.save(nib.Nifti1Image(data, phantom.affine), path)
        rows.append({"participant_id": name, "kind": KINDS[number % 3]})
    write_table(root / "study" / "participants.tsv", rows)
    steps = PreprocessConfig(bias=False, align="none", grid=GRID)
    records = read_records(root / "study", label_paths=root / "labels")
    answers = prepare_cohort(
        records,
        root / "prepared",
        preprocessing=steps,
        label_names={VALUE: "tumour"},
        verbose=False,
    )
    assert {words for _, words in answers} == {None}
    return root / "prepared"


@pytest.fixture(scope="module")
def vqvae(prepared, tmp_path_factory):
    run = tmp_path_factory.mktemp("vqvae")
    small = {"channels": (8, 8), "blocks": 1}
    vqvae = VQVAE(None)
    vqvae.fit(prepared, run_dir=run, settings=SETTINGS, network=small)
    return vqvae


@pytest.fixture(scope="module")
def run(prepared, vqvae, tmp_path_factory):
    run = tmp_path_factory.mktemp("ldm")
    small = {"widths": (8, 16), "blocks": 1}
    options = {"settings": SETTINGS, "conditions": ("kind",), "network": small}
    LDM(None).fit(prepared, vqvae, run_dir=run, **options)
    return run


@pytest.fixture(scope="module")
def ldm(run):
    return LDM(run)


def dice(one, other):
    return 2 * (one & other).sum() / max(1, one.sum() + other.sum())


def test_masks_are_encoded_and_decoded_with_their_image(prepared, vqvae):
    cohort = Cohort.load(prepared)
    known = [key != LACKING for key in cohort.keys]
    volumes = np.asarray(cohort.volumes(), "float32")[known]
    maps = np.asarray(cohort.label_maps())[known]
    latents = vqvae.encode(volumes, label_maps=maps)
    decoded, labels = vqvae.decode(latents, return_labels=True)
    assert set(np.unique(labels)) == {0, VALUE} and labels.dtype == np.int32
    assert np.mean([dice(a > 0, b > 0) for a, b in zip(labels, maps)]) > 0.8
    assert not labels[decoded == 0].any()
    # without a map there is no label, and the image is the same
    plain = vqvae.encode(volumes)
    again, none = vqvae.decode(plain, return_labels=True)
    assert_array_equal(again, decoded)
    assert not none.any()
    assert_array_equal(vqvae.decode(latents), decoded)
    with pytest.raises(InputError, match="label maps of shape"):
        vqvae.encode(volumes, label_maps=maps[:1])


def test_a_scan_without_labels_trains_the_image_alone(prepared, run, ldm):
    cohort = Cohort.load(prepared)
    image = ldm.vqvae.network.image_numbers
    seen = 0
    for split in SPLITS:
        latents = np.load(run / f"latents-{split}.npy")
        keys = [k for k, here in zip(cohort.keys, cohort.where(split)) if here]
        views = len(latents) // len(keys)
        for number, key in enumerate(keys):
            own = latents[number * views : (number + 1) * views]
            assert np.isfinite(own[..., :image]).all()
            assert np.isnan(own[..., image:]).all() == (key == LACKING)
            seen += key == LACKING
    assert seen == 1
    for array in (ldm.normalizer.mean, ldm.normalizer.variance, *ldm.network.weights):
        assert np.isfinite(np.asarray(array)).all()


def test_latents_follow_a_corrected_label_map(prepared, vqvae, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "prepared")
    cohort, path = Cohort.load(folder), tmp_path / "latents"

    def encode():
        return np.array(encode_cohort(cohort, vqvae, path, "validation").values)

    before = encode()
    *_, row = np.flatnonzero(cohort.where("validation"))
    file = label_path(cohort.paths[row])
    image = nib.load(file)
    assert image.get_fdata().any()
    nib.save(nib.Nifti1Image(np.zeros(GRID.shape, "uint8"), image.affine), file)
    after = encode()
    maps = cohort.label_maps()[[row]]
    expected = vqvae.encode(cohort.volumes()[[row]], label_maps=maps)
    np.testing.assert_allclose(after[-1:], expected, atol=5e-3)
    assert np.abs(after[-1] - before[-1]).max() > 0.1
    assert_array_equal(after[:-1], before[:-1])


def test_generated_labels_are_those_of_the_cohort_and_reproducible(ldm):
    volumes, labels = ldm.generate(2, seed=3, steps=4, return_labels=True)
    assert labels.shape == volumes.shape and set(np.unique(labels)) <= {0, VALUE}
    again, other = ldm.generate(numbers=[1], seed=3, steps=4, return_labels=True)
    np.testing.assert_allclose(again[0], volumes[1], atol=1e-4)
    assert np.mean(other[0] != labels[1]) < 0.01
    assert np.shape(ldm.generate(1, seed=3, steps=4)) == (1, *GRID.shape)


def test_a_model_without_labels_says_so(prepared_folder, tmp_path):
    vqvae, cohort = VQVAE(None), Cohort.load(prepared_folder)
    vqvae.config = cohort_config(cohort)
    vqvae.network = PatchAutoencoder(cohort.shape, channels=(8, 8), blocks=1)
    vqvae = VQVAE(vqvae.save(tmp_path / "model"))
    assert "labels" not in vqvae.config
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "labels" not in config and "labels" not in config["networks"]["autoencoder"]
    latents = np.zeros((1, *vqvae.network.latent_shape), "float32")
    with pytest.raises(InputError, match="labels of a model without"):
        vqvae.decode(latents, return_labels=True)


def test_an_autoencoder_of_other_labels_is_refused(prepared_folder, vqvae, tmp_path):
    with pytest.raises(InputError, match="labels None, but the autoencoder"):
        LDM(None).fit(prepared_folder, vqvae, run_dir=tmp_path, settings=SETTINGS)


def test_other_architectures_have_no_path_for_labels(prepared, tmp_path):
    with pytest.raises(InputError, match="'plain' with label maps: expected 'patch'"):
        VQVAE(None).fit(prepared, run_dir=tmp_path, settings=SETTINGS, preset="plain")


def test_a_cohort_is_written_with_its_label_maps(ldm, tmp_path):
    paths = synthesize_cohort(ldm, tmp_path / "made", n=2)
    rows = read_table(tmp_path / "made" / "dseg.tsv")
    assert [row["name"] for row in rows] == ["Background", "tumour"]
    for path in paths:
        beside = path.with_name(path.name.replace("desc-synthetic_T1w", "dseg"))
        maps, affine = read_label_map(beside)
        np.testing.assert_allclose(affine, GRID.affine)
        sidecar = read_json(str(beside).replace(".nii.gz", ".json"))
        size = np.prod(GRID.voxel_size) / 1000
        counted = np.count_nonzero(maps == VALUE) * size
        assert sidecar["LabelVolumes"]["tumour"] == pytest.approx(counted, abs=1e-3)
    # read and compared by the commands as any other cohort
    assert len(load_volumes(tmp_path / "made")) == 2


def test_labels_are_written_on_another_grid_by_the_nearest_voxel(ldm, tmp_path):
    config = {**ldm.config, "grid": GRID.to_config()}
    volume = np.zeros(GRID.shape, "float32")
    volume[2:-2, 2:-2, 2:-2] = 0.5
    maps = np.zeros(GRID.shape, int)
    maps[4:9, 5:12, 6:10] = VALUE
    from dipy_synth.data.target import Target

    target = Target.of_voxel_size([2.0], GRID)
    path = tmp_path / "sub-synth00001" / "anat" / "sub-synth00001_desc-synthetic_T1w"
    path = path.with_name(path.name + ".nii.gz")
    Outputs(target).write(path, volume, {}, config, label_map=maps)
    beside = path.with_name(path.name.replace("desc-synthetic_T1w", "dseg"))
    found, affine = read_label_map(beside)
    assert set(np.unique(found)) == {0, VALUE}
    points = np.argwhere(found) @ affine[:3, :3].T + affine[:3, 3]
    wanted = np.argwhere(maps) @ GRID.affine[:3, :3].T + GRID.affine[:3, 3]
    assert np.abs(points.mean(axis=0) - wanted.mean(axis=0)).max() < 1.01
    volume_ml = np.count_nonzero(found) * 8 / 1000
    assert volume_ml == pytest.approx(maps.astype(bool).sum() * 0.8, rel=0.05)


def test_tissues_of_a_model_with_labels_are_probabilities_alone(ldm, tmp_path):
    (path,) = synthesize_cohort(ldm, tmp_path, n=1, outputs=Outputs(tissues=True))
    names = {p.name.split("_", 1)[1] for p in path.parent.glob("*.nii.gz")}
    wanted = {f"label-{name}_probseg.nii.gz" for name in ("GM", "WM", "CSF")}
    assert names == {*wanted, "desc-synthetic_T1w.nii.gz", "dseg.nii.gz"}
    assert len(read_table(tmp_path / "dseg.tsv")) == 2


def test_scans_are_reconstructed_by_a_model_with_labels(prepared, vqvae, tmp_path):
    answers = reconstruct_cohort(vqvae, prepared, tmp_path / "made")
    assert {words for _, words in answers} == {None}


def test_volumes_are_encoded_with_their_labels_for_the_diagnostics(prepared, ldm, run):
    cohort, rows = Cohort.load(prepared), np.arange(8)
    maps, image = cohort.label_maps(), ldm.vqvae.network.image_numbers
    found = encode_volumes(cohort.volumes(), ldm.vqvae, rows, label_maps=maps)
    stored = np.load(run / "latents-validation.npy")
    np.testing.assert_allclose(found[cohort.where("validation")], stored, atol=0.02)
    unknown = np.isnan(found).any(axis=(1, 2, 3))
    assert_array_equal(unknown[:, :image], False)
    assert unknown[:, image:].sum() == unknown.shape[1] - image  # of one scan, all
