"""The QC filter: what it drops, its file in the model, cohorts made through it."""

import json

import numpy as np
import pytest

from dipy_synth.conditions import ConditionSchema
from dipy_synth.data.cohort import Cohort, cohort_config
from dipy_synth.data.nifti import read_volume
from dipy_synth.errors import InputError, QualityError
from dipy_synth.grid import Grid
from dipy_synth.metrics.memorization import VoxelSearch, plant_copies
from dipy_synth.phantom import make_phantom
from dipy_synth.store import arrays_path, read_config, save_model
from dipy_synth.synthesis.qc_filter import (
    COPY,
    QCFilter,
    add_qc_filter,
    has_qc_filter,
    qc_filter_files,
)
from dipy_synth.synthesis.request import Request
from dipy_synth.synthesis.synthetic_cohort import (
    MOST_ATTEMPTS,
    MOST_IN_VAIN,
    synthesize_cohort,
)
from dipy_synth.utils.files import read_json

GRID = Grid((32, 40, 32), (5.0, 5.0, 5.0))


@pytest.fixture(scope="module")
def cohort(write_prepared, tmp_path_factory):
    """36 phantoms, 24 to train and 12 to validate."""
    folder = tmp_path_factory.mktemp("qc_filter") / "cohort"
    write_prepared(folder, 36, shape=GRID.shape, voxel_size=GRID.voxel_size)
    return Cohort.load(folder)


@pytest.fixture(scope="module")
def folder(cohort, tmp_path_factory):
    """What the QC filter asks of a model's folder, with a QC filter."""
    root = tmp_path_factory.mktemp("model")
    write_model(root, cohort)
    add_qc_filter(root, cohort, copies=True)
    return root


def write_model(root, cohort, files=None):
    """Write what the QC filter asks of a model's folder."""
    rest = {name: {} for name in ("sampling", "schedule", "conditions")}
    config = {**cohort_config(cohort), **rest}
    return save_model(root, kind="ldm", config=config, networks={}, files=files)


@pytest.fixture(scope="module")
def qc_filter(folder):
    return QCFilter.load(folder)


def brain(seed):
    """Return a phantom that no cohort holds."""
    place = {"shape": GRID.shape, "voxel_size": GRID.voxel_size, "center": GRID.center}
    return make_phantom(1000 + seed, age=20 + 5 * seed % 60, **place).data


def noise(seed):
    return np.random.default_rng(seed).uniform(size=GRID.shape).astype("float32")


def metrics(reasons):
    return {reason.split(": ")[0] for reason in reasons}


def test_brains_pass_and_noise_does_not(qc_filter, cohort):
    held_out = cohort.volumes("validation")
    assert sum(not qc_filter(volume) for volume in held_out) >= len(held_out) - 1
    assert sum(not qc_filter(brain(seed)) for seed in range(10)) >= 8
    reasons = qc_filter(noise(0))
    assert "high-frequency power of real" in metrics(reasons)
    assert COPY not in metrics(reasons)
    assert qc_filter(np.zeros(GRID.shape, "float32"))


def test_copies_of_training_brains_are_named(qc_filter, cohort):
    train = np.asarray(cohort.volumes("train")[:6], "float32")
    for copies in (
        train,
        plant_copies(train, "noisy"),
        plant_copies(train, "flipped"),
        np.roll(train, (1, -1, 2), (1, 2, 3)),
    ):
        assert all(COPY in metrics(qc_filter(copy)) for copy in copies)


def test_a_qc_filter_that_is_read_decides_as_the_one_made(qc_filter, cohort):
    made = QCFilter.fit(cohort, copies=True)
    assert made.ranges.n == 12 and made.threshold == qc_filter.threshold
    assert made.ranges.limits == qc_filter.ranges.limits
    for volume in (brain(0), noise(1), cohort.volumes("train")[3]):
        assert metrics(made(volume)) == metrics(qc_filter(volume))


def test_without_held_out_brains_the_training_brains_set_the_marks(cohort):
    class Alone(Cohort):
        def volumes(self, split=None):
            return super().volumes(split)[: 0 if split == "validation" else None]

    alone = QCFilter.fit(Alone(*vars(cohort).values()), copies=True)
    assert alone.ranges.n == 24
    train = cohort.volumes("train")
    search = VoxelSearch(train, factor=4)
    others = search(train, subjects=range(24))
    assert not np.any(others.index == np.arange(len(train)))
    assert np.all(others.similarity < 0.999)
    assert alone.threshold == pytest.approx(others.similarity.max(), abs=1e-6)
    assert COPY in metrics(alone(train[0]))


def test_another_scan_of_a_subject_does_not_excuse_its_copies():
    """Two scans a subject: the mark is what other subjects are alike."""
    first = np.stack([brain(seed) for seed in range(10)])
    second = np.clip(plant_copies(first, "noisy", seed=1), 0, 1)
    search = VoxelSearch(np.concatenate([first, second]), factor=4)
    volumes, subjects = np.concatenate([first, second]), [*range(10)] * 2
    found = search(volumes, subjects=subjects)
    assert not np.any(found.index % 10 == subjects)
    alone = search(volumes, subjects=range(20))
    assert np.all(alone.index % 10 == subjects)
    assert found.similarity.max() < alone.similarity.min()


def test_a_qc_filter_is_for_its_own_model(folder, cohort, tmp_path, write_prepared):
    few = Cohort.load(write_prepared(tmp_path / "few", 8))
    with pytest.raises(InputError, match="another grid, or other subjects"):
        add_qc_filter(folder, few)
    with pytest.raises(InputError, match="6 training and 2 validation volumes"):
        QCFilter.fit(few)
    bare = write_model(tmp_path / "bare", cohort)
    with pytest.raises(InputError, match="has no QC filter.*add_qc_filter"):
        QCFilter.load(bare)
    files = qc_filter_files(*read_config(folder, kinds=("ldm",)))
    copy, config = read_config(
        write_model(tmp_path / "copy", cohort, files), kinds=("ldm",)
    )
    assert has_qc_filter(config)
    assert QCFilter.load(copy).threshold == QCFilter.load(folder).threshold
    with open(arrays_path(copy, config, "qc_filter"), "ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match="qc_filter.*npz: its hash is not"):
        QCFilter.load(copy)


def test_by_default_there_is_no_training_brain_and_only_form_counts(cohort, tmp_path):
    add_qc_filter(write_model(tmp_path, cohort), cohort)
    alone = QCFilter.load(tmp_path)
    assert not {"train", "inside", "threshold"} & set(alone.to_arrays())
    assert "high-frequency power of real" in metrics(alone(noise(0)))
    assert COPY not in metrics(alone(cohort.volumes("train")[0]))


def test_the_card_says_whether_training_brains_are_there(cohort, tmp_path):
    """Whatever it said before, and however often the filter is made anew."""
    write_model(tmp_path, cohort)
    card = tmp_path / "README.md"
    add_qc_filter(tmp_path, cohort)
    assert not card.exists()  # nothing to say
    add_qc_filter(tmp_path, cohort, copies=True)
    assert "holds the training brains" in card.read_text()
    card.write_text("# A model\n")
    for copies in (False, True, True, False):
        add_qc_filter(tmp_path, cohort, copies=copies)
        assert card.read_text().startswith("# A model\n")
        assert card.read_text().count("holds the training brains") == copies
        assert ("train" in QCFilter.load(tmp_path).to_arrays()) == copies


class Model:
    """Stands for an LDM: each draw of each sample is what `draws` says, or a brain."""

    config = {
        "grid": GRID.to_config(),
        "weights_sha256": "abc",
        "sampling": {
            "sampler": "heun",
            "steps": 2,
            "guidance": 1.0,
            "guidance_rescale": 0.0,
        },
    }

    schema, folder = ConditionSchema(), None

    def __init__(self, good, draws=None, *, stop_after=np.inf):
        self.good, self.draws, self.made = good, draws or {}, []
        self.stop_after = stop_after

    def generate(self, *, seed, numbers, attempts, **kwargs):
        self.made += zip(numbers, attempts)
        if len(self.made) > self.stop_after:
            raise KeyboardInterrupt
        return np.stack([self._draw(*key) for key in zip(numbers, attempts)])

    def _draw(self, number, attempt):
        drawn = self.draws.get((number, attempt), self.draws.get("else"))
        return self.good[number + attempt] if drawn is None else drawn


@pytest.fixture(scope="module")
def good(qc_filter):
    """Return brains that pass."""
    return [volume for volume in map(brain, range(12)) if not qc_filter(volume)]


def files_of(root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def sidecars(root):
    return [
        json.loads(path.read_text()) for path in sorted(root.glob("sub-*/*/*.json"))
    ]


@pytest.fixture
def draws(cohort):
    """Volume 1 is noise, then a copy; volume 3 is a copy, flipped."""
    train = np.asarray(cohort.volumes("train"), "float32")
    return {(1, 0): noise(0), (1, 1): train[2], (3, 0): train[5][::-1]}


def test_noise_and_copies_are_drawn_again_and_counted(
    good, qc_filter, draws, tmp_path, capsys
):
    model = Model(good, draws)
    paths = synthesize_cohort(model, tmp_path, n=4, qc_filter=qc_filter)
    shown = capsys.readouterr().err
    assert f"7 draws, 4 kept; most fail by {COPY} (2)" in shown
    expected = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (3, 1)]
    assert model.made == expected
    for path, (number, attempt) in zip(paths, [(0, 0), (1, 2), (2, 0), (3, 1)]):
        np.testing.assert_array_equal(read_volume(path)[0], good[number + attempt])
    written = sidecars(tmp_path)
    assert [one["QCFilterAttempts"] for one in written] == [1, 3, 1, 2]
    first, second = written[1]["QCFilterDropped"]
    assert "high-frequency power of real" in metrics(first)
    assert metrics(second) == metrics(written[3]["QCFilterDropped"][0]) == {COPY}
    counted = read_json(tmp_path / "dataset_description.json")
    assert counted["DipySynth"]["QCFilter"] == qc_filter.sha256
    assert counted["DipySynthQCFilter"]["Draws"] == 7
    assert counted["DipySynthQCFilter"]["DroppedFor"][COPY] == 2


def test_no_qc_filter_lets_all_out(good, draws, tmp_path):
    model = Model(good, draws)
    synthesize_cohort(model, tmp_path, n=4)
    assert model.made == [(n, 0) for n in range(4)]
    assert "DipySynthQCFilter" not in read_json(tmp_path / "dataset_description.json")


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_stopped_cohort_ends_as_one_that_was_not(
    good, qc_filter, draws, tmp_path, stop_after
):
    whole, stopped, batch = (tmp_path / name for name in ("whole", "stopped", "batch"))
    synthesize_cohort(Model(good, draws), whole, n=4, qc_filter=qc_filter)
    with pytest.raises(KeyboardInterrupt):
        synthesize_cohort(
            Model(good, draws, stop_after=stop_after), stopped, n=4, qc_filter=qc_filter
        )
    synthesize_cohort(Model(good, draws), stopped, n=4, qc_filter=qc_filter)
    synthesize_cohort(Model(good, draws), batch, n=4, qc_filter=qc_filter, batch_size=3)
    assert files_of(stopped) == files_of(whole) == files_of(batch)


def test_a_qc_filter_that_lets_nothing_out_says_why(good, qc_filter, tmp_path):
    hopeless = Model(good, {"else": noise(0)})
    with pytest.raises(QualityError, match="all of 10 draws, 10 of them for .*: train"):
        synthesize_cohort(hopeless, tmp_path / "none", n=3, qc_filter=qc_filter)
    assert len(hopeless.made) == MOST_IN_VAIN
    assert not list(tmp_path.glob("none/sub-*"))


def test_a_volume_is_drawn_only_so_often(good, qc_filter, cohort, tmp_path):
    copy = np.asarray(cohort.volumes("train")[0], "float32")
    model = Model(good, {(1, attempt): copy for attempt in range(99)})
    with pytest.raises(QualityError, match=f"all of 20 draws, 20 of them for {COPY}"):
        synthesize_cohort(model, tmp_path, n=3, qc_filter=qc_filter)
    assert model.made == [(0, 0), *((1, attempt) for attempt in range(MOST_ATTEMPTS))]
    assert len(list(tmp_path.glob("sub-*/anat/*.nii.gz"))) == 1


def test_a_gated_cohort_is_another_one_and_no_sweep(good, qc_filter, tmp_path):
    synthesize_cohort(Model(good), tmp_path, n=1)
    with pytest.raises(InputError, match="QCFilter was None, is "):
        synthesize_cohort(Model(good), tmp_path, n=1, qc_filter=qc_filter)
    with pytest.raises(InputError, match="QC filter with sweep"):
        synthesize_cohort(
            Model(good),
            tmp_path,
            qc_filter=qc_filter,
            request=Request(sweep={"age": ["20"]}),
        )
