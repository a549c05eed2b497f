"""Edits: a model whose answer is known, what is kept, changed and refused."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

from dipy_synth.conditions import Column, ConditionSchema
from dipy_synth.data.prepared import prepared_path, read_prepared
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.diffusion.schedules import RectifiedFlow
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.synthesis.edit import Edit, edit_volume
from dipy_synth.synthesis.edit_scans import edit_scans
from dipy_synth.utils.files import read_json
from dipy_synth.utils.tables import read_table, write_table

GRID = Grid((24, 32, 24), (8.0, 8.0, 8.0))
STEPS = PreprocessConfig(bias=False, align="none", scaling="minmax", order=1, grid=GRID)
SEX = Column("sex", "category", categories=("F", "M"))
SCHEMA = ConditionSchema((Column("age", low=20, high=80), SEX))
DARKER = -0.1  # intensity, of 30 years


class Model:
    """Stands for an LDM of normal voxels, whose mean age moves."""

    network, folder, schema, schedule = object(), None, SCHEMA, RectifiedFlow()

    def __init__(self, grid=GRID, preprocessing=STEPS):
        self.config = {"grid": grid and grid.to_config(), "weights_sha256": "abc"}
        self.config |= {"preprocessing": preprocessing.to_config(), "sampling": {}}
        self.seen = []
        self.vqvae = SimpleNamespace(encode=lambda volumes: volumes)
        self.normalizer = SimpleNamespace(normalize=lambda latents: latents)

    def decode(self, latents):
        return np.asarray(latents, "float32")

    def denoiser(self, conditions, settings=None):
        self.seen.append(len(conditions))
        age = np.nan_to_num(conditions[:, 0]).reshape(-1, 1, 1, 1)
        mean, variance = 0.5 + DARKER * age, 0.04

        def denoise(x, t):
            alpha, sigma = 1 - float(t), float(t)
            gain = alpha * variance / (alpha**2 * variance + sigma**2)
            return mean + gain * (x - alpha * mean)

        return denoise


@pytest.fixture
def records(bids_folder):
    return read_records(bids_folder)[:2]


def edited(out, key, kind="edited"):
    return nib.load(out / key / "anat" / f"{key}_desc-{kind}_T1w.nii.gz")


def test_the_effect_of_a_condition_is_added_and_the_person_is_kept():
    volume = np.random.default_rng(0).uniform(0.2, 0.8, GRID.shape)
    asked = {"steps": 60}
    old, again = edit_volume(Model(), volume, {"age": 35}, {"age": 65}, **asked)
    assert_allclose(again, volume, atol=0.02)
    assert_allclose(old - again, DARKER, atol=0.003)
    part = edit_volume(Model(), volume, {"age": 35}, {"age": 65}, strength=0.5, **asked)
    assert DARKER < np.mean(part[0] - part[1]) < 0.2 * DARKER


def test_the_same_conditions_change_nothing():
    volume = np.random.default_rng(0).uniform(0.2, 0.8, GRID.shape)
    model, row = Model(), {"age": "35", "sex": None}
    old, again = edit_volume(model, volume, row, {**row, "age": 35.0})
    assert_array_equal(old, again)
    assert model.seen == [1, 1]


def test_a_scan_is_edited_in_its_own_space(records, tmp_path):
    edit = Edit(change={"age": 30.0}, steps=40)
    assert edit_scans(Model(), records, tmp_path, edit) == [
        ("sub-01", None),
        ("sub-02", None),
    ]
    for record in records:
        native, new = nib.load(record.image), edited(tmp_path, record.key)
        change = edited(tmp_path, record.key, "difference")
        assert_allclose(new.affine, native.affine)
        for image in (new, change):
            assert image.header["descrip"].item().startswith(b"edited, not a scan")
        scan, data, added = (i.get_fdata() for i in (native, new, change))
        assert_array_equal(data[added == 0], scan[added == 0])
        within = (scan + added > scan[scan > 0].min()) & (added != 0)
        assert_allclose(data[within], (scan + added)[within], rtol=1e-4)
        inside = scan > 300
        sidecar = read_json(
            tmp_path / record.key / "anat" / f"{record.key}_desc-edited_T1w.json"
        )
        low, high = read_prepared(
            prepared_path(tmp_path / "prepared", record.key)
        ).intensity_range
        wanted = (high - low) * DARKER
        assert np.median(added[inside]) == pytest.approx(wanted, rel=0.02)
        own = float(record.covariates["age"])
        sex = record.covariates["sex"]
        assert sidecar["OwnConditions"] == {"age": own, "sex": sex}
        assert sidecar["Conditions"]["age"] == pytest.approx(own + 30)
        assert sidecar["Strength"] == 1.0 and sidecar["SkullStripped"] is True
        assert sidecar["MeanChange"] == pytest.approx(-DARKER, rel=0.1)
    rows = read_table(tmp_path / "edits.tsv")
    assert [row["scan"] for row in rows] == ["sub-01", "sub-02"]
    assert float(rows[1]["asked_age"]) == pytest.approx(float(rows[1]["own_age"]) + 30)
    assert (tmp_path / "edited.png").stat().st_size > 0


def test_a_change_of_nothing_gives_the_scan(records, tmp_path):
    edit_scans(Model(), records[:1], tmp_path, Edit(change={"age": 0.0}))
    scan = nib.load(records[0].image).get_fdata()
    assert_array_equal(edited(tmp_path, "sub-01").get_fdata(), scan)
    assert not edited(tmp_path, "sub-01", "difference").get_fdata().any()


def test_a_change_beyond_the_training_range_is_a_warning(records, tmp_path):
    edit = Edit(change={"age": 30.0}, own={"age": 75})
    with pytest.warns(UserWarning, match="age=105 is outside .* .20, 80."):
        edit_scans(Model(), records[:1], tmp_path / "a", edit)
    edit = Edit(change={"age": 60.0}, own={"age": 75})
    ((_, words),) = edit_scans(Model(), records[:1], tmp_path / "b", edit)
    assert "age=135.0: expected a number of years, 0 to 120" in words


def test_a_prepared_cohort_is_edited_as_it_is(records, tmp_path):
    edit = Edit({"age": "70"}, own={"age": "40", "sex": "F"})
    edit_scans(Model(), records[:1], tmp_path / "first", edit)
    prepared = tmp_path / "first" / "prepared"
    answers = edit_scans(Model(), prepared, tmp_path / "second", edit)
    assert answers == [("sub-01", None)]
    assert not (tmp_path / "second" / "prepared").exists()
    one, other = (
        edited(tmp_path / n, "sub-01", "difference").get_fdata()
        for n in ("first", "second")
    )
    assert_allclose(one, other, atol=1e-3)


def test_what_is_there_is_kept_and_another_edit_is_another_request(records, tmp_path):
    model, edit = Model(), Edit({"age": "70"})
    edit_scans(model, records[:1], tmp_path, edit)
    before = len(model.seen)
    assert edit_scans(model, records[:1], tmp_path, edit) == [("sub-01", None)]
    assert len(model.seen) == before
    with pytest.raises(InputError, match="Strength was 1.0, is 0.5"):
        edit_scans(model, records[:1], tmp_path, Edit({"age": "70"}, strength=0.5))
    other = Edit({"age": "20"})
    edit_scans(model, records[:1], tmp_path, other, force=True)
    assert len(model.seen) > before


def test_an_unknown_own_condition_is_a_warning_and_a_change_of_it_an_error(
    write_cohort, tmp_path, caplog
):
    source = write_cohort(tmp_path / "source", n=2)
    rows = [{"participant_id": "sub-01", "age": None, "sex": "F"}]
    rows += [{"participant_id": "sub-02", "age": "50", "sex": "F"}]
    write_table(source / "participants.tsv", rows)
    records = read_records(source)
    answers = dict(
        edit_scans(Model(), records, tmp_path / "a", Edit(change={"age": 5.0}))
    )
    assert answers["sub-02"] is None
    assert "sub-01: age is not known" in answers["sub-01"]
    edit_scans(Model(), records[:1], tmp_path / "b", Edit({"age": "70"}))
    assert "sub-01: its own age is not known" in caplog.text
    sidecar = read_json(
        tmp_path / "b" / "sub-01" / "anat" / "sub-01_desc-edited_T1w.json"
    )
    assert sidecar["OwnConditions"] == {"age": None, "sex": "F"}


def test_an_edit_made_with_another_age_is_refused(write_cohort, tmp_path):
    source, out = write_cohort(tmp_path / "source", n=2), tmp_path / "out"
    edit = Edit(change={"age": 30.0})

    def with_ages(*ages, force=False):
        rows = [
            {"participant_id": f"sub-{n:02d}", "age": age, "sex": "F"}
            for n, age in enumerate(ages, start=1)
        ]
        write_table(source / "participants.tsv", rows)
        return dict(edit_scans(Model(), read_records(source), out, edit, force=force))

    with_ages(48, 40)
    answers = with_ages(35, 40)  # the first is corrected
    assert answers["sub-02"] is None
    assert "OwnConditions.age was 48, is 35; expected --force" in answers["sub-01"]
    assert with_ages(35, 40, force=True) == {"sub-01": None, "sub-02": None}
    assert [float(row["asked_age"]) for row in read_table(out / "edits.tsv")] == [
        65,
        70,
    ]


def test_an_edit_that_loses_the_brain_is_refused(records, tmp_path):
    class Lost(Model):
        def decode(self, latents):
            return np.full_like(latents, 0.9, "float32")

    key = records[0].key
    answers = dict(edit_scans(Lost(), records[:1], tmp_path, Edit({"age": 70})))
    assert "another brain (PSNR" in answers[key] and "more steps" in answers[key]
    assert not [*tmp_path.glob("sub-*/anat/*.nii.gz")]


def test_a_whole_head_without_a_mask_is_refused(records, tmp_path):
    image = nib.load(records[0].image)
    head = np.random.default_rng(0).uniform(300, 400, image.shape).astype("float32")
    nib.save(nib.Nifti1Image(head, image.affine), tmp_path / "sub-01_T1w.nii.gz")
    heads = read_records(tmp_path / "sub-01_T1w.nii.gz")
    ((_, words),) = edit_scans(
        Model(), heads, tmp_path / "out", Edit({"age": "70"}), brain="given"
    )
    assert "no mask" in words
    with pytest.raises(InputError, match="brain none: .* expected a brain mask"):
        edit_scans(Model(), heads, tmp_path / "none", Edit({"age": "70"}), brain="none")


def test_a_scan_that_does_not_fit_the_grid_is_refused(records, tmp_path):
    small = Grid((8, 8, 8), (8.0, 8.0, 8.0))
    model = Model(small, PreprocessConfig(bias=False, align="none", grid=small))
    ((key, words),) = edit_scans(model, records[:1], tmp_path, Edit({"age": "70"}))
    assert key == "sub-01" and "does not fit the grid of 8 x 8 x 8" in words


def test_a_model_of_images_or_without_the_condition_is_refused(records, tmp_path):
    with pytest.raises(InputError, match="a model of images"):
        edit_scans(Model(grid=None), records, tmp_path, Edit({"age": "70"}))
    with pytest.raises(InputError, match="no condition tumor; expected one of age"):
        edit_scans(Model(), records, tmp_path, Edit({"tumor": "none"}))
    assert not [*tmp_path.iterdir()]


def test_an_edit_is_read_as_it_is_typed():
    edit = Edit.parse(SCHEMA, change=["age=-5"], own=["age=40"], strength=0.5)
    assert edit.rows({"age": "30", "sex": "F"}, SCHEMA) == (
        {"age": 40, "sex": "F"},
        {"age": 35.0, "sex": "F"},
    )
    edit = Edit.parse(SCHEMA, conditions=["sex=M"])
    assert edit.rows({"age": "n/a"}, SCHEMA)[1] == {"age": None, "sex": "M"}
    own, _ = edit.rows({"Age (years)": "30", "Gender": "F"}, SCHEMA)
    assert own == {"age": 30, "sex": "F"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "nothing to edit"),
        ({"conditions": ["age=80"], "strength": 0.0}, "strength 0.0: .* above 0"),
        ({"conditions": ["age=80"], "strength": 1.5}, "strength 1.5: .* above 0"),
        ({"conditions": ["age=80"], "strength": float("nan")}, "strength nan"),
        ({"conditions": ["age=80"], "steps": 1}, "steps 1: .* at least 2"),
        ({"conditions": ["height=80"]}, "no condition height"),
        ({"conditions": ["age=80"], "change": ["age=3"]}, "not both"),
        ({"change": ["sex=M"]}, "change sex=M: expected a number"),
        ({"change": ["age=old"]}, "change age=old: expected a number"),
        ({"change": ["age"]}, "change age: expected name=number"),
        ({"change": ["height=1"]}, "no condition height"),
        ({"conditions": ["age=80"], "own": ["weight=3"]}, "no condition weight"),
    ],
)
def test_what_cannot_be_edited_is_refused(asked, words):
    with pytest.raises(InputError, match=words):
        Edit.parse(SCHEMA, **asked)
