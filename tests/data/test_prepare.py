"""The cohort loop: what it writes, keeps, refuses and survives."""

from dataclasses import replace
import json
import logging
import shutil
import sys

import nibabel as nib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

from dipy_synth.data import prepare as preparing
from dipy_synth.data.brain_networks import NETWORKS
from dipy_synth.data.columns import read_columns
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.prepared import (
    label_path,
    mask_path,
    prepared_keys,
    prepared_path,
    read_prepared,
    sidecar_path,
)
from dipy_synth.data.prepared_tables import (
    read_participants,
    read_rows,
    write_participants,
)
from dipy_synth.data.preprocess import prepare_t1, restore_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.data.records import Record
from dipy_synth.data.split import few_held_out
from dipy_synth.errors import InputError
from dipy_synth.grid import TEMPLATE_ADDRESS, Grid
from dipy_synth.utils.files import read_json, write_json
from dipy_synth.utils.tables import read_table, write_table

STEPS = PreprocessConfig(
    bias=False, align="none", grid=Grid(shape=(24, 28, 24), voxel_size=(8, 8, 8))
)


def prepare(source, out_dir, **options):
    options = {"preprocessing": STEPS, "verbose": False, **options}
    answers = prepare_cohort(read_records(source), out_dir, **options)
    return {record.key: words for record, words in answers}


def stamps(folder):
    """When each file was written."""
    return {
        p.name: p.stat().st_mtime_ns for p in folder.rglob("sub-*_*") if p.is_file()
    }


def sides(folder):
    """Who trains and who validates."""
    rows = read_table(folder / "participants.tsv")
    return {row["participant_id"]: row["split"] for row in rows}


@pytest.fixture
def source(tmp_path, write_cohort):
    return write_cohort(tmp_path / "source", n=4)


@pytest.fixture(scope="module")
def done(tmp_path_factory, bids_folder):
    """The shared cohort of phantoms, prepared."""
    out_dir = tmp_path_factory.mktemp("done") / "prepared"
    assert set(prepare(bids_folder, out_dir).values()) == {None}
    return out_dir


def test_the_output_is_a_bids_derivative(done, bids_folder):
    description = read_json(done / "dataset_description.json")
    assert (
        description["DatasetType"] == "derivative" and description["License"] == "CC0"
    )
    assert description["GeneratedBy"][0]["Name"] == "dipy_synth"
    assert Grid.from_config(description["DipySynth"]["Grid"]) == STEPS.grid
    assert (
        PreprocessConfig.from_config(description["DipySynth"]["Preprocessing"]) == STEPS
    )
    rows = read_table(done / "participants.tsv")
    assert [row["participant_id"] for row in rows] == [f"sub-0{i}" for i in range(1, 5)]
    assert sorted(row.pop("split") for row in rows) == ["train"] * 3 + ["validation"]
    assert rows == read_table(bids_folder / "participants.tsv")


def test_a_prepared_scan_is_what_the_function_gives(done, bids_folder):
    (record, *_) = read_records(bids_folder)
    image = nib.load(record.image)
    expected = prepare_t1(image.get_fdata(), image.affine, preprocessing=STEPS)
    found = read_prepared(prepared_path(done, "sub-01"))
    for name, value in vars(expected).items():
        if name in ("brain", "correlation", "warnings", "label_map"):
            assert getattr(found, name) == value
        else:
            assert_allclose(getattr(found, name), value, atol=1e-3, err_msg=name)
    back, affine = restore_t1(found)
    assert back.shape == image.shape
    assert_allclose(affine, image.affine)
    stored = nib.load(prepared_path(done, "sub-01"))
    assert stored.get_data_dtype() == np.float32 and nib.aff2axcodes(stored.affine) == (
        "R",
        "A",
        "S",
    )
    assert_array_equal(stored.get_fdata()[~found.mask], 0)


def test_the_sidecar_has_source_transform_and_range(done):
    path = sidecar_path(prepared_path(done, "sub-02"))
    sidecar = json.loads(path.read_text())
    assert sidecar["Sources"] == ["bids:raw:sub-02/anat/sub-02_T1w.nii.gz"]
    assert sidecar["NativeShape"] == [20, 24, 20]
    assert (
        np.shape(sidecar["PreparedToNative"])
        == np.shape(sidecar["NativeAffine"])
        == (4, 4)
    )
    assert sidecar["IntensityRange"][0] < sidecar["IntensityRange"][1]
    assert sidecar["Preprocessing"] == STEPS.to_config()


def test_the_dataset_is_described_for_people_and_programs(done, bids_folder):
    described = read_json(done / "participants.json")
    assert described["age"]["Units"] == "year"
    assert set(described["split"]["Levels"]) == {"train", "validation"}
    assert "dipy_preprocess_t1" in (done / "README.md").read_text()
    assert "The authors of: Phantoms" in (done / "CITATION.cff").read_text()
    assert (done / ".bidsignore").read_text().split() == ["quality.html", "quality.tsv"]
    description = read_json(done / "dataset_description.json")
    assert (
        done / description["DatasetLinks"]["raw"]
    ).resolve() == bids_folder.resolve()
    mask = sidecar_path(mask_path(prepared_path(done, "sub-01")))
    assert read_json(mask)["Type"] == "Brain"


def test_the_name_says_the_template_where_scans_are_aligned(done, tmp_path, source):
    assert prepared_path(done, "sub-01").name == "sub-01_desc-prepared_T1w.nii.gz"
    out = tmp_path / "aligned"
    aligned = replace(STEPS, align="affine")
    prepare(source / "sub-01", out, preprocessing=aligned)
    name = "sub-01_space-MNI152NLin2009aSym_desc-prepared_T1w.nii.gz"
    image = prepared_path(out, "sub-01")
    assert image.name == name and prepared_keys(out) == ["sub-01"]
    for path in (image, mask_path(image)):
        assert read_json(sidecar_path(path))["SpatialReference"] == TEMPLATE_ADDRESS
    not_aligned = read_json(sidecar_path(prepared_path(done, "sub-01")))
    assert "SpatialReference" not in not_aligned


def test_a_cohort_of_an_earlier_version_is_read_and_not_added_to(source, tmp_path):
    out, aligned = tmp_path / "out", replace(STEPS, align="affine")
    prepare(source / "sub-01", out, preprocessing=aligned)
    for path in (out / "sub-01" / "anat").iterdir():
        path.rename(path.with_name(path.name.replace("_space-MNI152NLin2009aSym", "")))
    path = out / "dataset_description.json"
    content = read_json(path)
    del content["DipySynth"]["Kind"]
    write_json(path, content)
    assert read_prepared(prepared_path(out, "sub-01")).data.shape == STEPS.grid.shape
    with pytest.raises(InputError, match="earlier version of dipy_synth"):
        prepare(source, out, preprocessing=aligned, force=True)


def test_a_second_run_does_only_what_is_missing(source, tmp_path):
    out_dir = tmp_path / "out"
    prepare(source, out_dir)
    before, sides = stamps(out_dir), read_table(out_dir / "participants.tsv")
    gone = prepared_path(out_dir, "sub-03")
    gone.unlink()
    assert set(prepare(source, out_dir, seed=9).values()) == {None}
    after = stamps(out_dir)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {n for n in before if n.startswith("sub-03_")}
    assert read_table(out_dir / "participants.tsv") == sides


def label_of(image):
    """Return where a label map of a prepared volume is; one is made."""
    shutil.copy(mask_path(image), label_path(image))
    return label_path(image)


@pytest.mark.parametrize("path_of", [lambda image: image, mask_path, label_of])
def test_a_damaged_scan_is_prepared_anew(source, tmp_path, caplog, path_of):
    out_dir = tmp_path / "out"
    prepare(source, out_dir)
    before, image = stamps(out_dir), prepared_path(out_dir, "sub-03")
    whole = read_prepared(image)
    path = path_of(image)
    path.write_bytes(path.read_bytes()[:-20])
    assert set(prepare(source, out_dir).values()) == {None}
    assert f"{path}: " in caplog.text and "prepared anew" in caplog.text
    assert_array_equal(read_prepared(image).data, whole.data)
    assert_array_equal(read_prepared(image).mask, whole.mask)
    after = stamps(out_dir)
    assert {n for n in after if after[n] == before[n]} == {
        name for name in before if not name.startswith("sub-03_")
    }


def test_new_subjects_join_and_the_others_keep_their_side(
    tmp_path, write_cohort, caplog
):
    source, out_dir = write_cohort(tmp_path / "source", n=6), tmp_path / "out"
    prepare([source / f"sub-0{i}" for i in (1, 3, 5)], out_dir)
    before, when = sides(out_dir), stamps(out_dir)
    with caplog.at_level(logging.INFO, logger="dipy"):
        assert set(prepare(source, out_dir).values()) == {None}
    assert "3 subjects keep their side" in caplog.text
    assert len(before) == 3 and len(sides(out_dir)) == 6
    assert sides(out_dir).items() >= before.items()
    assert stamps(out_dir).items() >= when.items()


def test_other_steps_need_force_or_another_folder(source, tmp_path):
    out_dir = tmp_path / "out"
    prepare(source, out_dir)
    other = PreprocessConfig(bias=False, align="none", grid=STEPS.grid, order=1)
    with pytest.raises(InputError, match="order was 3, is 1.*--force"):
        prepare(source, out_dir, preprocessing=other)
    part = f"{source}/sub-01/anat/*.nii.gz"
    with pytest.raises(InputError, match="holds 3 scans of other preprocessing"):
        prepare(part, out_dir, preprocessing=other, force=True)
    before = stamps(out_dir)
    assert set(prepare(source, out_dir, preprocessing=other, force=True).values()) == {
        None
    }
    assert all(when != before[name] for name, when in stamps(out_dir).items())
    written = read_json(out_dir / "dataset_description.json")["DipySynth"][
        "Preprocessing"
    ]
    assert written["order"] == 1


def test_other_bytes_under_an_old_name_need_force(source, tmp_path, write_cohort):
    out_dir = tmp_path / "out"
    prepare(source, out_dir)
    write_cohort(source, n=4, seed=50)
    answers = prepare(source, out_dir)
    assert all(
        "other files" in words and "--force" in words for words in answers.values()
    )
    assert set(prepare(source, out_dir, force=True).values()) == {None}


def test_one_bad_scan_does_not_stop_the_rest(source, tmp_path):
    bad = source / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    image = nib.load(bad)
    data = image.get_fdata()
    data[10, 12, 10] = np.nan
    nib.save(nib.Nifti1Image(data.astype(np.float32), image.affine), bad)
    cut = source / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-300])
    answers = prepare(source, tmp_path / "out")
    assert answers["sub-01"] is None and answers["sub-03"] is None
    assert str(bad) in answers["sub-02"] and "NaN" in answers["sub-02"]
    assert str(cut) in answers["sub-04"] and "cut short" in answers["sub-04"]
    rows = read_table(tmp_path / "out" / "participants.tsv")
    assert [row["participant_id"] for row in rows] == ["sub-01", "sub-03"]


def test_an_error_nobody_thought_of_is_reported_too(source, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(preparing, "prepare_t1", broken)
    answers = prepare(source, tmp_path / "out")
    assert all("sub-0" in w and "ZeroDivisionError: odd" in w for w in answers.values())


def test_headers_are_checked_before_any_scan_is_prepared(source, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(preparing, "check_headers", lambda *a: order.append("check"))
    monkeypatch.setattr(
        preparing, "prepare_t1", lambda *a, **k: order.append("prepare")
    )
    prepare(source, tmp_path / "out")
    assert order[:4] == ["check"] * 4 and order.count("prepare") == 4


def test_masks_are_used_and_named(tmp_path, write_cohort):
    source = write_cohort(tmp_path / "source", n=2, masks=True)
    given = PreprocessConfig(brain="given", bias=False, align="none", grid=STEPS.grid)
    assert set(prepare(source, tmp_path / "out", preprocessing=given).values()) == {
        None
    }
    (sidecar, _) = sorted((tmp_path / "out").rglob("*T1w.json"))
    assert read_json(sidecar)["Sources"] == [
        "bids:raw:sub-01/anat/sub-01_T1w.nii.gz",
        "bids:raw:derivatives/brainmask/sub-01/anat/sub-01_desc-brain_mask.nii.gz",
    ]
    for path in (source / "derivatives").rglob("*.nii.gz"):
        path.unlink()
    answers = prepare(source, tmp_path / "other", preprocessing=given)
    assert all("no mask" in words for words in answers.values())


def test_somebody_elses_folder_is_left_alone(source, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    synthetic = {"DipySynth": {"Steps": 24}, "Name": "synthetic"}
    write_json(tmp_path / "made" / "dataset_description.json", synthetic)
    for folder, match in (
        (tmp_path / "mine", "not empty"),
        (tmp_path / "made", "another dataset"),
        (source, "another dataset"),
    ):
        before = sorted(folder.rglob("*"))
        with pytest.raises(InputError, match=match):
            prepare(source, folder, force=True)
        assert sorted(folder.rglob("*")) == before


def test_nothing_of_other_steps_stays_when_all_is_prepared_anew(source, tmp_path):
    out = tmp_path / "out"
    prepare(source, out)
    bad = source / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    bad.write_bytes(b"no scan")
    answers = prepare(source, out, force=True)  # by the same preprocessing: kept
    assert answers["sub-02"] and len(prepared_keys(out)) == 4
    answers = prepare(
        source, out, preprocessing=replace(STEPS, scaling="minmax"), force=True
    )
    assert answers["sub-02"] and prepared_keys(out) == ["sub-01", "sub-03", "sub-04"]


def test_sessions_stay_together_and_keep_their_columns(tmp_path, write_cohort):
    source = write_cohort(tmp_path / "source", n=4)
    for name in ("sub-01", "sub-02"):
        for number, session in enumerate("ab"):
            other = (
                source / f"sub-0{3 + number}" / "anat" / f"sub-0{3 + number}_T1w.nii.gz"
            )
            path = source / name / f"ses-{session}" / "anat"
            path.mkdir(parents=True)
            (path / f"{name}_ses-{session}_T1w.nii.gz").write_bytes(other.read_bytes())
        (source / name / "anat" / f"{name}_T1w.nii.gz").unlink()
        visits = [
            {"session_id": f"ses-{s}", "weight": w} for s, w in zip("ab", (70, 71))
        ]
        write_table(source / name / f"{name}_sessions.tsv", visits)
    assert set(prepare(source, tmp_path / "out")) == {
        "sub-01_ses-a",
        "sub-01_ses-b",
        "sub-02_ses-a",
        "sub-02_ses-b",
        "sub-03",
        "sub-04",
    }
    rows = read_table(tmp_path / "out" / "participants.tsv")
    assert len(rows) == 4 and "weight" not in rows[0]
    visits = read_table(tmp_path / "out" / "sub-01" / "sub-01_sessions.tsv")
    assert visits == [
        {"session_id": "ses-a", "weight": "70"},
        {"session_id": "ses-b", "weight": "71"},
    ]

    def weigh(*weights):
        """Correct the weights of the source, prepare what is left, read them."""
        visits = [
            {"session_id": f"ses-{s}", "weight": w} for s, w in zip("ab", weights)
        ]
        write_table(source / "sub-01" / "sub-01_sessions.tsv", visits)
        prepare(source, tmp_path / "out")
        rows = read_rows(tmp_path / "out", ["sub-01_ses-a", "sub-01_ses-b"])
        return [row["weight"] for row in rows]

    assert weigh(80, 80) == ["80", "80"]
    shutil.rmtree(
        source / "sub-01" / "ses-a"
    )  # one visit more of a subject who is there
    assert weigh(99, 90) == ["80", "90"]


def test_a_scan_without_a_session_keeps_its_columns_beside_one_with(
    source, tmp_path, caplog
):
    scan = source / "sub-01/anat/sub-01_T1w.nii.gz"
    visit = source / "sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz"
    visit.parent.mkdir(parents=True)
    shutil.copy(scan, visit)
    table = "participant_id\tsession_id\tage\nsub-01\tb\t28\nsub-01\tn/a\t25\n"
    (source / "participants.tsv").write_text(table)
    prepare(source, tmp_path / "out")
    rows = read_rows(tmp_path / "out", ["sub-01", "sub-01_ses-b"])
    assert [row["age"] for row in rows] == ["25", "28"]
    assert "sub-01 and sub-01_ses-b are one scan under several names" in caplog.text


def test_a_prepared_table_that_was_typed_anew_keeps_its_sides(source, tmp_path):
    out = tmp_path / "out"
    prepare(source, out)
    before = sides(out)
    table = (out / "participants.tsv").read_text().replace("sub-", "SUB-")
    (out / "participants.tsv").write_text(table.replace("\t", ";"))
    prepare(source, out)
    assert sides(out) == before


@pytest.mark.parametrize("engine", ["joblib", "dask", "ray"])
def test_engines_give_the_same_bytes(engine, source, tmp_path, done):
    pytest.importorskip({"dask": "distributed"}.get(engine, engine))
    bad = source / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-300])
    answers = prepare(source, tmp_path / "out", engine=engine, n_jobs=2)
    assert [*answers] == [f"sub-0{i}" for i in range(1, 5)]
    assert "cut short" in answers.pop("sub-02") and set(answers.values()) == {None}
    for key in answers:
        twin, found = prepared_path(done, key), prepared_path(tmp_path / "out", key)
        assert_array_equal(nib.load(found).dataobj, nib.load(twin).dataobj)


def test_a_cluster_prepares_and_a_second_run_keeps(source, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        scheduler = cluster.scheduler_address
        monkeypatch.chdir(tmp_path)  # where the workers are not
        first = prepare("source", "out", scheduler=scheduler)
        before = stamps(tmp_path / "out")
        second = prepare("source", "out", scheduler=scheduler)
    assert set(first.values()) == set(second.values()) == {None}
    assert stamps(tmp_path / "out") == before


def test_options_are_checked_before_anything_is_written(source, tmp_path):
    out_dir = tmp_path / "out"
    with pytest.raises(InputError, match="engine 'magic'"):
        prepare(source, out_dir, engine="magic")
    with pytest.raises(InputError, match="n_jobs 0"):
        prepare(source, out_dir, n_jobs=0)
    with pytest.raises(InputError, match="'iq'"):
        prepare(source, out_dir, stratify=["iq"])
    with pytest.raises(InputError, match="no T1 scan"):
        prepare_cohort([], out_dir)
    assert not out_dir.exists()


def test_a_network_that_cannot_be_had_is_reported_once(source, tmp_path, monkeypatch):
    def offline():
        raise ConnectionError("no route to host")

    monkeypatch.setitem(NETWORKS, "evac", offline)
    with pytest.raises(InputError, match="'evac': .*no route"):
        prepare(source, tmp_path / "out", preprocessing=PreprocessConfig(brain="evac"))
    assert not (tmp_path / "out").exists()


def test_an_engine_that_is_not_there_is_reported_first(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="'ray': ray is not installed"):
        prepare(source, tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()


def test_a_broken_description_is_reported(source, tmp_path):
    out_dir = tmp_path / "out"
    prepare(source, out_dir)
    write_json(out_dir / "dataset_description.json", {"Name": "other"})
    with pytest.raises(InputError, match="another dataset"):
        prepare(source, out_dir, force=True)


def _with_split(source, sides):
    rows = read_table(source / "participants.tsv")
    for row, side in zip(rows, sides):
        row["split"] = side
    write_table(source / "participants.tsv", rows)


def test_a_split_of_the_study_is_kept(source, tmp_path, caplog):
    _with_split(source, ["Train", "test", "training", "val"])
    with caplog.at_level(logging.INFO, logger="dipy"):
        prepare(source, tmp_path / "out")
    expected = ["train", "validation", "train", "validation"]
    assert [*sides(tmp_path / "out").values()] == expected
    assert "the study's own split is kept" in caplog.text


def test_a_study_split_that_changes_or_has_gaps_is_said_to(source, tmp_path, caplog):
    _with_split(source, ["train", "test", "train", None])
    with caplog.at_level(logging.INFO, logger="dipy"):
        prepare(source, tmp_path / "out")
    assert "2 subjects train, 1 validate; 1 without one divided by" in caplog.text
    before = sides(tmp_path / "out")
    _with_split(source, ["test", "test", "train", None])
    with caplog.at_level(logging.INFO, logger="dipy"):
        prepare(source, tmp_path / "out")
    assert sides(tmp_path / "out") == before
    assert "sub-01: the study's split says another side now" in caplog.text
    assert caplog.text.count("2 subjects train, 1 validate") == 2


def test_a_subject_on_both_sides_of_the_study_is_not_trained_on(tmp_path, caplog):
    words = {"a": "train", "b": "test", "c": "train"}
    records = [
        Record(s, tmp_path / f"sub-{s}_T1w.nii", covariates={"split": word})
        for s, word in words.items()
    ]
    twin = Record("c", tmp_path / "x.nii", session="2", covariates={"split": "test"})
    write_participants(tmp_path, [*records, twin])
    expected = ["train", "validation", "validation"]
    assert [row["split"] for row in read_participants(tmp_path).values()] == expected
    assert "sub-c: on both sides of the study's split; held out" in caplog.text


def test_values_that_the_study_no_longer_has_are_kept(source, tmp_path, caplog):
    out = tmp_path / "out"
    prepare([source / f"sub-0{i}" for i in (1, 2, 3)], out)
    rows = read_table(out / "participants.tsv")
    rows[0]["diagnosis"] = "AD"  # by hand
    write_table(out / "participants.tsv", rows)
    before = read_table(out / "participants.tsv")
    (source / "participants.tsv").unlink()
    with caplog.at_level(logging.INFO, logger="dipy"):
        prepare(source, out)
    *found, new = read_table(out / "participants.tsv")
    assert found == before and new["age"] is None
    assert "age, diagnosis, sex of sub-01, sub-02, sub-03 kept" in caplog.text


def test_a_scan_that_has_another_name_in_a_second_run_is_named(
    source, tmp_path, caplog
):
    plain = tmp_path / "plain"
    (plain / "x").mkdir(parents=True)
    for name, i in (("a", 1), ("b", 2)):
        scan = source / f"sub-0{i}/anat/sub-0{i}_T1w.nii.gz"
        shutil.copy(scan, plain / f"{name}.nii.gz")
    prepare(plain, tmp_path / "out")
    assert "one scan under" not in caplog.text
    scan = source / "sub-03/anat/sub-03_T1w.nii.gz"
    shutil.copy(scan, plain / "x" / "a.nii.gz")  # now all are named after folders
    prepare(plain, tmp_path / "out")
    assert "sub-a and sub-plaina are one scan under several names" in caplog.text


def test_a_scan_that_was_saved_anew_under_another_name_is_named(
    source, tmp_path, caplog
):
    scan = source / "sub-01/anat/sub-01_T1w.nii.gz"
    image = nib.load(scan)
    copy = nib.Nifti1Image(image.get_fdata(dtype="float32"), image.affine)
    nib.save(copy, source / "sub-02/anat/sub-02_T1w.nii.gz")
    prepare(source, tmp_path / "out")
    assert "sub-01 and sub-02 are one scan under several names" in caplog.text


def test_another_person_under_an_old_name_does_not_keep_the_age(
    source, tmp_path, write_cohort, caplog
):
    out = tmp_path / "out"
    prepare(source, out)
    before = read_table(out / "participants.tsv")
    shutil.copy(
        source / "sub-02/anat/sub-02_T1w.nii.gz",
        source / "sub-01/anat/sub-01_T1w.nii.gz",
    )
    (source / "participants.tsv").unlink()
    shutil.rmtree(out / "sub-03")  # as if it had never been
    prepare(source, out, force=True)
    after = read_table(out / "participants.tsv")
    new = {"age": None, "sex": None}
    expected = [{**row, **(new if i in (0, 2) else {})} for i, row in enumerate(before)]
    assert after == expected
    assert "age, sex of sub-01, sub-03 not kept" in caplog.text


@pytest.mark.parametrize("split", [["1", "2", "3", "1"], ["train"] * 4])
def test_another_split_of_the_study_is_a_column_and_reported(
    source, tmp_path, caplog, split
):
    _with_split(source, split)
    prepare(source, tmp_path / "out")
    assert sorted(sides(tmp_path / "out").values()) == ["train"] * 3 + ["validation"]
    rows = read_table(tmp_path / "out" / "participants.tsv")
    assert [row["study_split"] for row in rows] == split
    assert "kept as study_split" in caplog.text


def test_a_prepared_table_that_lacks_a_column_is_reported_in_one_line(source, tmp_path):
    out_dir = tmp_path / "out"
    prepare(source, out_dir)
    rows = read_table(out_dir / "participants.tsv")
    for column in ("participant_id", "split"):
        some = [{k: v for k, v in row.items() if k != column} for row in rows]
        write_table(out_dir / "participants.tsv", some)
        with pytest.raises(InputError, match=f"participants.tsv: .*{column}"):
            prepare(source, out_dir)
    write_table(out_dir / "participants.tsv", [*rows, rows[0]])
    with pytest.raises(InputError, match="two rows of sub-01"):
        prepare(source, out_dir)


def test_a_study_that_holds_its_prepared_cohort_reads_as_before(source):
    first = prepare(source, source / "prepared")
    assert prepare(source, source / "prepared") == first
    assert [r.key for r in read_records(source)] == [*first]


def test_a_scan_that_was_not_fetched_is_reported_at_the_end(source, tmp_path):
    image = source / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    image.unlink()
    image.symlink_to("../../.git/annex/objects/none")
    (source / "sub-03/anat/sub-03_T1w.nii.gz").write_text(
        "version https://git-lfs.github.com/spec/v1\n"
    )
    answers = prepare(source, tmp_path / "out")
    assert "fetch it first (datalad get" in answers["sub-02"]
    assert "git lfs pull" in answers["sub-03"]
    assert answers["sub-01"] is answers["sub-04"] is None


def test_endings_in_capitals_and_pairs_are_prepared(tmp_path, bids_folder):
    for i, end in enumerate((".NII.GZ", ".Nii", ".img"), 1):
        image = nib.load(bids_folder / f"sub-0{i}" / "anat" / f"sub-0{i}_T1w.nii.gz")
        kind = nib.Nifti1Pair if end == ".img" else nib.Nifti1Image
        path = tmp_path / "in" / f"s{i}{end}"
        path.parent.mkdir(exist_ok=True)
        kind(image.get_fdata().astype("int16"), image.affine).to_filename(path)
    answers = prepare(tmp_path / "in", tmp_path / "out")
    assert answers == {"sub-s1": None, "sub-s2": None, "sub-s3": None}


def rewrite(path, function=lambda x: x, *, affine=None, sform_code=2):
    """Change the voxels or the header of a scan."""
    image = nib.load(path)
    new = nib.Nifti1Image(function(image.get_fdata()), image.affine)
    new.set_qform(image.affine, code=1)
    new.set_sform(image.affine if affine is None else affine, code=sform_code)
    nib.save(new, path)


def scan_of(source, subject):
    return source / subject / "anat" / f"{subject}_T1w.nii.gz"


def test_warnings_are_logged_and_kept_in_the_sidecar(source, tmp_path, caplog):
    moved = nib.load(scan_of(source, "sub-02")).affine.copy()
    moved[0, 3] += 50
    rewrite(scan_of(source, "sub-02"), affine=moved)
    with caplog.at_level(logging.WARNING, logger="dipy"):
        assert set(prepare(source, tmp_path / "out").values()) == {None}
    said = [r.message for r in caplog.records if "sub-02" in r.message]
    assert len(said) == 1 and "sform and qform disagree by up to 50 mm" in said[0]
    found = read_prepared(prepared_path(tmp_path / "out", "sub-02"))
    assert len(found.warnings) == 1 and found.warnings[0] in said[0]
    assert found.brain == "nonzero" and found.correlation is None
    assert read_prepared(prepared_path(tmp_path / "out", "sub-01")).warnings == ()


def test_a_volume_that_no_brain_has_names_the_header_that_may_be_wrong(
    source, tmp_path
):
    path = scan_of(source, "sub-03")
    rewrite(path, affine=np.diag([1 / 8, 1 / 8, 1 / 8, 1]) @ nib.load(path).affine)
    answers = prepare(source, tmp_path / "out")
    assert "mL, expected 500 to 2300" in answers["sub-03"]
    assert "sform has voxels of 1 x 1 x 1, pixdim says 8 x 8 x 8" in answers["sub-03"]


def test_how_to_get_a_mask_for_whole_heads_is_reported_once(
    source, tmp_path, caplog, monkeypatch
):
    noise = np.random.default_rng(0).random
    for subject in ("sub-01", "sub-03", "sub-04"):
        rewrite(scan_of(source, subject), lambda x: x + noise(x.shape))
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with caplog.at_level(logging.WARNING, logger="dipy"):
        answers = prepare(source, tmp_path / "out")
    failed = [words for words in answers.values() if words]
    assert len(failed) == 3 and all("whole head" in words for words in failed)
    assert not any("deepbet" in words for words in failed)
    said = [r.message for r in caplog.records if "--brain deepbet" in r.message]
    assert len(said) == 1 and said[0].startswith("3 scans are whole heads")
    assert "pip install 'dipy_synth[deepbet]'" in said[0]


def test_the_evaluation_s_needs_are_named_before_any_training(source, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="dipy"):
        prepare(source, tmp_path / "out")
    (said,) = [r.message for r in caplog.records if "dipy_evaluate_mri" in r.message]
    assert "1 of 4 are held out" in said and "needs 8, a fifth of 40" in said
    assert few_held_out(["train"] * 32 + ["validation"] * 8) == ""


@pytest.mark.parametrize("align, code", [("none", 2), ("rigid", 4)])
def test_the_header_says_what_the_space_is(source, tmp_path, monkeypatch, align, code):
    monkeypatch.setattr(
        "dipy_synth.data.preprocess.find_transform", lambda *a, **k: np.eye(4)
    )
    steps = replace(STEPS, align=align, grid=Grid((28, 32, 28), (8.0, 8.0, 8.0)))
    prepare(source, tmp_path / "out", preprocessing=steps)
    image = prepared_path(tmp_path / "out", "sub-01")
    for path in (image, mask_path(image)):
        header = nib.load(path).header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (code, code)


def test_a_prepared_table_reads_the_same_with_its_data_dictionary(source, tmp_path):
    rows = read_table(source / "participants.tsv")
    months = [{**row, "age": 240 + i, "sex": "1"} for i, row in enumerate(rows)]
    write_table(source / "participants.tsv", months)
    dictionary = {
        "Age": {"Description": "At scan", "Units": "months"},
        "sex": {"Levels": {"1": "male", "2": "female", "3": "other"}},
    }
    write_json(source / "participants.json", dictionary)
    prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "out")
    described = read_json(tmp_path / "out" / "participants.json")
    assert described["age"] == {"Description": "At scan", "Units": "year"}
    assert described["sex"]["Levels"] == {"F": "female", "M": "male", "3": "other"}
    again, notes = read_columns(tmp_path / "out" / "participants.tsv")
    assert [float(r["age"]) for r in again] == [20, 20.083, 20.167, 20.25]
    assert {r["sex"] for r in again} == {"M"} and not notes
