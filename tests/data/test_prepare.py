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
from dipy_synth.data.brain_extraction import NETWORKS
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.prepared import (
    mask_path,
    prepared_keys,
    prepared_path,
    read_prepared,
    read_rows,
    sidecar_path,
)
from dipy_synth.data.preprocess import PreprocessConfig, prepare_t1, restore_t1
from dipy_synth.data.readers import read_records
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.utils.files import read_json, read_table, write_json, write_table

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
    told = read_json(done / "dataset_description.json")
    assert told["DatasetType"] == "derivative" and told["License"] == "CC0"
    assert told["GeneratedBy"][0]["Name"] == "dipy_synth"
    assert Grid.from_config(told["DipySynth"]["Grid"]) == STEPS.grid
    assert PreprocessConfig.from_config(told["DipySynth"]["Preprocessing"]) == STEPS
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


def test_the_sidecar_tells_source_transform_and_range(done):
    path = sidecar_path(prepared_path(done, "sub-02"))
    told = json.loads(path.read_text())
    assert told["Sources"] == ["bids:raw:sub-02/anat/sub-02_T1w.nii.gz"]
    assert told["NativeShape"] == [20, 24, 20]
    assert (
        np.shape(told["PreparedToNative"]) == np.shape(told["NativeAffine"]) == (4, 4)
    )
    assert told["IntensityRange"][0] < told["IntensityRange"][1]
    assert told["Preprocessing"] == STEPS.to_config()


def test_the_dataset_is_described_for_people_and_programs(done, bids_folder):
    described = read_json(done / "participants.json")
    assert described["age"]["Units"] == "year"
    assert set(described["split"]["Levels"]) == {"train", "validation"}
    assert "dipy_preprocess_t1" in (done / "README.md").read_text()
    assert "The authors of: Phantoms" in (done / "CITATION.cff").read_text()
    assert (done / ".bidsignore").read_text().split() == ["quality.html", "quality.tsv"]
    told = read_json(done / "dataset_description.json")
    assert (done / told["DatasetLinks"]["raw"]).resolve() == bids_folder.resolve()
    mask = sidecar_path(mask_path(prepared_path(done, "sub-01")))
    assert read_json(mask)["Type"] == "Brain"


def test_the_name_says_the_template_where_scans_are_aligned(done, tmp_path, source):
    assert prepared_path(done, "sub-01").name == "sub-01_desc-prepared_T1w.nii.gz"
    out = tmp_path / "aligned"
    aligned = replace(STEPS, align="affine")
    prepare(source / "sub-01", out, preprocessing=aligned)
    name = "sub-01_space-MNI152NLin2009aSym_desc-prepared_T1w.nii.gz"
    assert prepared_path(out, "sub-01").name == name and prepared_keys(out) == [
        "sub-01"
    ]


def test_a_cohort_of_an_earlier_version_is_read_and_not_added_to(source, tmp_path):
    out, aligned = tmp_path / "out", replace(STEPS, align="affine")
    prepare(source / "sub-01", out, preprocessing=aligned)
    for path in (out / "sub-01" / "anat").iterdir():
        path.rename(path.with_name(path.name.replace("_space-MNI152NLin2009aSym", "")))
    path = out / "dataset_description.json"
    told = read_json(path)
    del told["DipySynth"]["Kind"]
    write_json(path, told)
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


def test_new_subjects_join_and_the_others_keep_their_side(
    tmp_path, write_cohort, caplog
):
    source, out_dir = write_cohort(tmp_path / "source", n=6), tmp_path / "out"
    prepare([source / f"sub-0{i}" for i in (1, 3, 5)], out_dir)
    before, when = sides(out_dir), stamps(out_dir)
    with caplog.at_level(logging.INFO, logger="dipy_synth"):
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
    told = read_json(out_dir / "dataset_description.json")["DipySynth"]["Preprocessing"]
    assert told["order"] == 1


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


def test_an_error_nobody_thought_of_is_told_too(source, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(preparing, "prepare_t1", broken)
    answers = prepare(source, tmp_path / "out")
    assert all("sub-0" in w and "ZeroDivisionError: odd" in w for w in answers.values())


def test_headers_are_checked_before_any_scan_is_prepared(source, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(preparing, "check_headers", lambda *a: order.append("check"))
    monkeypatch.setattr(preparing, "_prepare", lambda *a, **k: order.append("prepare"))
    prepare(source, tmp_path / "out")
    assert order == ["check"] * 4 + ["prepare"] * 4


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


def test_a_network_that_cannot_be_had_is_told_once(source, tmp_path, monkeypatch):
    def offline():
        raise ConnectionError("no route to host")

    monkeypatch.setitem(NETWORKS, "evac", offline)
    with pytest.raises(InputError, match="'evac': .*no route"):
        prepare(source, tmp_path / "out", preprocessing=PreprocessConfig(brain="evac"))
    assert not (tmp_path / "out").exists()


def test_an_engine_that_is_not_there_is_told_first(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="'ray': ray is not installed"):
        prepare(source, tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()


def test_a_broken_description_is_told(source, tmp_path):
    out_dir = tmp_path / "out"
    prepare(source, out_dir)
    write_json(out_dir / "dataset_description.json", {"Name": "other"})
    with pytest.raises(InputError, match="another dataset"):
        prepare(source, out_dir, force=True)
