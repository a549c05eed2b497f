"""Synthetic cohorts on disk: names, sidecars, resuming, refusing, streaming."""

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.conditions import Column, ConditionSchema
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.synthesis.synthetic_cohort import Request, synthesize_cohort
from dipy_synth.utils.files import read_json
from dipy_synth.utils.tables import read_table

GRID = Grid((8, 8, 8), (4.0, 4.0, 4.0))


class Model:
    """Stands for an LDM: noise i of seed s at age a is an image filled by all three."""

    schema = ConditionSchema(
        (
            Column("age", low=20, high=80),
            Column("sex", "category", categories=("F", "M")),
        )
    )

    config = {
        "grid": GRID.to_config(),
        "license": "CC BY-SA 3.0",
        "preprocessing": {"align": "rigid"},
        "version": "0.1.0",
        "weights_sha256": "abc",
        "sampling": {
            "sampler": "heun",
            "steps": 12,
            "guidance": 1.5,
            "guidance_rescale": 0.0,
        },
    }

    folder = Path("runs/brains/model")

    def __init__(self, shape=(8, 8, 8), *, seconds=0):
        self.shape, self.seconds, self.made = shape, seconds, []

    def generate(self, *, seed, numbers, conditions, progress, **kwargs):
        self.schema.check(conditions)
        self.made += numbers
        time.sleep(self.seconds)
        progress(len(numbers))
        ages = [float(row.get("age") or 0) for row in conditions]
        values = [(seed * 10 + i) / 100 + a / 1e4 for i, a in zip(numbers, ages)]
        return np.stack([np.full(self.shape, v, "float32") for v in values])


def values(paths):
    return [float(nib.load(path).get_fdata()[0, 0, 0]) for path in paths]


def test_a_cohort_is_a_bids_derivative_with_its_origin(tmp_path):
    request = sampled(seed=3, conditions={"age": "70"}, steps=5)
    model, out = Model(), tmp_path / "out"
    model.folder = tmp_path / "runs" / "brains" / "model"
    (path,) = synthesize_cohort(model, out, n=1, request=request)
    assert path.relative_to(out).as_posix() == (
        "sub-synth00001/anat/"
        "sub-synth00001_space-MNI152NLin2009aSym_desc-synthetic_T1w.nii.gz"
    )
    np.testing.assert_allclose(nib.load(path).affine, GRID.affine)
    sidecar = json.loads(
        path.with_name(path.name.replace(".nii.gz", ".json")).read_text()
    )
    expected = {
        "Synthetic": True,
        "SkullStripped": True,
        "Model": {
            "Name": "brains",
            "Version": "0.1.0",
            "SHA256": "abc",
            "URI": "../runs/brains/model",
        },
        "Seed": 3,
        "SampleNumber": 0,
        "Sampler": "heun",
        "Steps": 5,
        "Guidance": 1.5,
        "GuidanceRescale": 0.0,
        "Conditions": {"age": "70"},
    }
    assert expected.items() <= sidecar.items()
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["License"] == "CC BY-SA 3.0"
    assert description["SourceDatasets"] == [{"URL": "../runs/brains/model"}]
    described = read_json(out / "participants.json")
    assert described["age"]["Units"] == "year" and list(described) == ["age"]
    assert "Synthetic" in (out / "README.md").read_text()
    rows = read_table(out / "participants.tsv")
    assert rows == [{"participant_id": "sub-synth00001", "age": "70"}]
    assert (out / "mid-slices.png").stat().st_size > 0


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_what_is_missing_is_made_and_nothing_else(tmp_path, batch_size):
    model = Model()
    paths = synthesize_cohort(model, tmp_path, n=5, batch_size=batch_size)
    whole = values(paths)
    for number in (1, 2, 4):
        paths[number].unlink()
    model.made.clear()
    kept = paths[0].stat().st_mtime_ns
    assert (
        values(synthesize_cohort(model, tmp_path, n=5, batch_size=batch_size)) == whole
    )
    assert model.made == [1, 2, 4]
    assert paths[0].stat().st_mtime_ns == kept


def test_more_can_be_requested_later(tmp_path):
    model = Model()
    synthesize_cohort(model, tmp_path, n=2)
    assert values(synthesize_cohort(model, tmp_path, n=4)) == pytest.approx(
        [0, 0.01, 0.02, 0.03]
    )
    assert model.made == [0, 1, 2, 3]
    assert len(read_table(tmp_path / "participants.tsv")) == 4


def test_another_request_is_refused_unless_forced(tmp_path):
    synthesize_cohort(Model(), tmp_path, n=3)
    other = Request(seed=1)
    with pytest.raises(InputError, match="Seed was 0, is 1.*--force"):
        synthesize_cohort(Model(), tmp_path, n=1, request=other)
    assert len(list(tmp_path.glob("sub-*/anat/*.nii.gz"))) == 3
    paths = synthesize_cohort(Model(), tmp_path, n=1, request=other, force=True)
    assert values(paths) == pytest.approx([0.1])
    assert len(list(tmp_path.glob("sub-*/anat/*.nii.gz"))) == 1


@pytest.mark.parametrize(
    "name, content",
    [
        ("participants.tsv", "participant_id\tage\n1\t30\n"),
        ("config.json", '{"kind": "ldm"}'),  # a model
        ("settings.json", "{}"),  # a run
        ("dataset_description.json", "{}"),
        ("dataset_description.json", '{"DipySynth": {"Grid": 1}}'),
    ],
)
def test_another_data_set_is_never_touched(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    (tmp_path / "README.md").write_text("Ours")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="another dataset|not empty"):
        synthesize_cohort(Model(), tmp_path, force=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def sampled(*, seed=0, conditions=(), **settings):
    sampling = SamplingSettings(**settings)
    return Request(seed=seed, conditions=dict(conditions), sampling=sampling)


def test_a_request_that_made_nothing_binds_nobody(tmp_path):
    with pytest.raises(InputError, match="expected one of F, M"):
        synthesize_cohort(
            Model(), tmp_path / "a", request=Request(conditions={"sex": "X"})
        )
    assert not (tmp_path / "a").exists()

    class Refusing(Model):
        def generate(self, **kwargs):
            raise InputError("magic")

    with pytest.raises(InputError, match="magic"):
        synthesize_cohort(Refusing(), tmp_path, request=sampled(sampler="ddim"))
    synthesize_cohort(Model(), tmp_path, request=sampled(sampler="euler"))


@pytest.mark.parametrize("wrong", [{"sampler": "magic"}, {"steps": 0}, {"seed": -1}])
def test_a_wrong_request_costs_nothing_that_is_there(tmp_path, wrong):
    (path,) = synthesize_cohort(Model(), tmp_path)
    with pytest.raises(InputError, match=next(iter(wrong))):
        synthesize_cohort(Model(), tmp_path, request=sampled(**wrong), force=True)
    assert path.exists()


@pytest.mark.parametrize("end", [".nii.gz", ".json"])
def test_a_damaged_volume_or_sidecar_is_made_anew(tmp_path, end):
    (path,) = synthesize_cohort(Model(), tmp_path)
    damaged = path.with_name(path.name.replace(".nii.gz", end))

    def damage():
        damaged.write_bytes(b"damaged")
        with pytest.raises(InputError, match=f"{damaged.name}.*without {path} the"):
            synthesize_cohort(Model(), tmp_path)

    damage()
    synthesize_cohort(Model(), tmp_path, force=True)
    assert values([path]) == [0]
    damage()
    path.unlink()
    synthesize_cohort(Model(), tmp_path)
    assert values([path]) == [0]


COHORT = (
    {"participant_id": "sub-a", "age": "30", "sex": "F"},
    {"participant_id": "sub-b", "age": None, "sex": "M"},
    {"participant_id": "sub-c", "age": "50", "sex": None},
)


def test_a_cohort_is_matched_row_by_row_and_grows_with_its_table(tmp_path):
    model = Model()
    two, three = (Request(participants=COHORT[:n]) for n in (2, 3))
    synthesize_cohort(model, tmp_path, request=two)
    paths = synthesize_cohort(model, tmp_path, request=three, batch_size=2)
    assert model.made == [0, 1, 2]
    assert values(paths) == pytest.approx([0.003, 0.01, 0.025])
    rows = read_table(tmp_path / "participants.tsv")
    assert [list(row.values()) for row in rows] == [
        ["sub-synth00001", "sub-a", "30", "F"],
        ["sub-synth00002", "sub-b", None, "M"],
        ["sub-synth00003", "sub-c", "50", None],
    ]
    sidecar = read_json(str(paths[1]).replace(".nii.gz", ".json"))
    assert sidecar["Conditions"] == {"age": None, "sex": "M"}
    assert sidecar["MatchedId"] == "sub-b" and "Participants" not in sidecar
    synthesize_cohort(model, tmp_path, request=two)  # the first two of three
    assert len(read_table(tmp_path / "participants.tsv")) == 3
    assert len(model.made) == 3


@pytest.mark.parametrize(
    "other",
    [
        Request(participants=COHORT[1:]),
        Request(),
        Request(participants=COHORT, seed=1),
    ],
)
def test_another_cohort_to_match_is_another_request(tmp_path, other):
    synthesize_cohort(Model(), tmp_path, request=Request(participants=COHORT))
    with pytest.raises(InputError, match=r"made by another request \((Part|Seed)"):
        synthesize_cohort(Model(), tmp_path, request=other)


def test_a_sweep_moves_one_condition_and_leaves_the_noise(tmp_path):
    model = Model((32, 32, 32))
    request = Request(conditions={"sex": "F"}, sweep={"age": ["20", "50", "80"]})
    synthesize_cohort(model, tmp_path, n=1, request=request, batch_size=2)
    paths = synthesize_cohort(model, tmp_path, n=2, request=request, batch_size=2)
    assert model.made == [0, 0, 0, 1, 1, 1]
    expected = [0.002, 0.005, 0.008, 0.012, 0.015, 0.018]
    assert values(paths) == pytest.approx(expected)
    rows = read_table(tmp_path / "participants.tsv")
    assert [(row["sample"], row["sex"], row["age"]) for row in rows[2:4]] == [
        ("0", "F", "80"),
        ("1", "F", "20"),
    ]


def test_what_the_training_did_not_see_is_reported_once(tmp_path):
    request = Request(sweep={"age": ["20", "85", "90"]})
    with pytest.warns(UserWarning) as caught:
        synthesize_cohort(Model((32, 32, 32)), tmp_path, n=3, request=request)
    assert [str(warning.message) for warning in caught] == [
        "condition age=85, 90 is outside the training range [20, 80]"
    ]


def test_a_cohort_goes_on_with_its_own_guide_alone(tmp_path):
    model = Model()
    for guide, good in (("one", True), ("one", True), ("other", False)):
        model.config = Model.config | {"guide_sha256": guide}
        if good:
            synthesize_cohort(model, tmp_path, n=1)
            continue
        with pytest.raises(InputError, match="GuideHash was one, is other"):
            synthesize_cohort(model, tmp_path, n=2)
    (sidecar,) = tmp_path.rglob("*_T1w.json")
    assert read_json(sidecar)["Model"]["GuideSHA256"] == "one"


def test_a_thousand_volumes_are_never_held(tmp_path):
    """64 MB of volumes by way of a few; the picture at the end reads no more."""
    model = Model((16, 32, 32))
    synthesize_cohort(model, tmp_path / "warm", n=2)
    tracemalloc.start()
    try:
        paths = synthesize_cohort(model, tmp_path / "many", n=1000, batch_size=4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(paths) == len(model.made) - 2 == 1000
    assert all(path.exists() for path in paths)
    assert peak < 32e6  # the picture takes up to half of it


def files_of(root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_a_kill_loses_a_batch_at_most(tmp_path):
    """Killed as the system kills: no handler, no clean-up."""
    code = (
        f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}, "
        f"{str(Path(__file__).parents[1])!r}, "
        f"{str(Path(__file__).parents[2])!r}]\n"
        "from test_synthetic_cohort import Model, synthesize_cohort\n"
        "model = Model((32, 32, 32), seconds=0.02)\n"
        f"synthesize_cohort(model, {str(tmp_path / 'killed')!r}, n=60, batch_size=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    pattern = "killed/sub-*/anat/sub-*.nii.gz"
    while process.poll() is None and len([*tmp_path.glob(pattern)]) < 7:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read()
    there = {path: path.stat().st_mtime_ns for path in tmp_path.glob(pattern)}
    assert 7 <= len(there) < 60
    for path in there:
        assert nib.load(path).get_fdata().shape == (32, 32, 32)
    leftover = next(iter(there)).with_name(".tmp-1-sub-synth00001.nii.gz")
    leftover.write_bytes(b"cut short")
    model = Model((32, 32, 32))
    synthesize_cohort(model, tmp_path / "killed", n=60, batch_size=2)
    assert len(model.made) == 60 - len(there)
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())
    synthesize_cohort(Model((32, 32, 32)), tmp_path / "whole", n=60, batch_size=2)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_a_number_below_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least 1"):
        synthesize_cohort(Model(), tmp_path / "new", n=0)
    assert not (tmp_path / "new").exists()
