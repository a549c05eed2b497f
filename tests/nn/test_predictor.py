"""The predictor end to end, small: fit, resume, save, load, predict."""

from dataclasses import replace
import shutil

import numpy as np
import pytest

from dipy_synth.conditions import Column, ConditionSchema
from dipy_synth.data.cohort import Cohort
from dipy_synth.data.image_cohort import ArrayCohort
from dipy_synth.errors import InputError
from dipy_synth.models import find_model
from dipy_synth.nn.predictor import CovariatePredictor
from dipy_synth.store import arrays_path, read_config
from dipy_synth.training import TrainingSettings
from dipy_synth.training.checkpoint import CheckpointCallback

SETTINGS = TrainingSettings(epochs=2, batch_size=4, learning_rate=1e-3)
SMALL = {"widths": (4, 8), "features": 6}


@pytest.fixture(scope="module")
def cohort(write_prepared, tmp_path_factory):
    """30 phantoms with age and sex, one of them unknown."""
    folder = write_prepared(tmp_path_factory.mktemp("predicted") / "cohort", 30)
    table = folder / "participants.tsv"
    first, row, *rows = table.read_text().splitlines()
    name, age, *others = row.split("\t")
    table.write_text("\n".join([first, "\t".join([name, "n/a", *others]), *rows, ""]))
    return folder


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    """A run; beside it, in ``killed``, what a kill after its first epoch leaves."""
    root = tmp_path_factory.mktemp("run")
    run, killed = root / "run", root / "killed"
    end = CheckpointCallback.on_epoch_end

    def end_and_keep(self, *args):
        end(self, *args)
        if not killed.exists():
            shutil.copytree(run, killed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointCallback, "on_epoch_end", end_and_keep)
        options = {"run_dir": run, "settings": SETTINGS, "network": SMALL}
        CovariatePredictor(None).fit(cohort, **options)
    return run


@pytest.fixture(scope="module")
def predictor(run):
    return CovariatePredictor(run)


@pytest.fixture(scope="module")
def held_out(cohort):
    return Cohort.load(cohort).volumes("validation")


def test_age_is_read_from_phantoms_not_seen(predictor, cohort):
    found = predictor.evaluate(cohort)
    assert found["age"].r > 0.8
    assert found["age"].n == found["sex"].n == 10
    assert found["age"].mae < found["age"].control_mae
    assert predictor.evaluate(cohort, "train")["age"].n == 19  # one age is not known


def test_what_has_a_side_is_not_mirrored(cohort):
    predictor, brains = CovariatePredictor(None), Cohort.load(cohort)
    for places, flip in (
        (("frontal-left", "frontal-right"), 0),
        (("big", "small"), 0.5),
    ):
        rows = tuple({"location": places[i % 2]} for i in range(len(brains.keys)))
        of_places = replace(brains, rows=rows)
        predictor.schema = ConditionSchema.fit(rows, ["location"])
        data = predictor.batches(of_places, "train", SETTINGS)
        assert data.augment.flip == flip
        assert len(data.targets) == len(brains.volumes("train"))


def test_features_and_predictions_have_their_shapes(predictor, held_out):
    features = predictor(held_out, batch_size=3)
    assert features.shape == (10, 6) and features.dtype == np.float32
    np.testing.assert_allclose(features, predictor(held_out, batch_size=10), atol=1e-4)
    predicted = predictor.predict(held_out)
    assert set(predicted) == {"age", "sex"} and predicted["age"].shape == (10,)
    assert set(predicted["sex"]) <= {"F", "M"}
    chances = predictor.probabilities(held_out)
    assert chances.shape == (10, 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    names = np.array(["F", "M"])[chances.argmax(axis=1)]
    assert names.tolist() == predicted["sex"]


def test_a_saved_predictor_says_the_same_in_half_the_space(
    predictor, run, held_out, tmp_path
):
    again = CovariatePredictor(predictor.save(tmp_path / "copy"))
    np.testing.assert_array_equal(again(held_out), predictor(held_out))
    folder, config = read_config(run, kinds=("predictor",))
    with np.load(arrays_path(folder, config, "weights")) as values:
        assert {value.dtype for value in values.values()} == {np.dtype("float16")}
    split = config["split"]
    assert "20 training subjects" in (folder / "README.md").read_text()
    assert len(split["train"]) == 20 and not {*split["train"]} & {*split["validation"]}


def test_a_killed_run_ends_as_an_uninterrupted_one(cohort, run):
    killed = run.with_name("killed")
    assert len((killed / "history.csv").read_text().splitlines()) == 2  # one epoch
    options = {"run_dir": killed, "settings": SETTINGS, "network": SMALL}
    assert len(CovariatePredictor(None).fit(cohort, **options)) == SETTINGS.epochs
    with (
        np.load(*(killed / "model").glob("weights-*.npz")) as resumed,
        np.load(*(run / "model").glob("weights-*.npz")) as straight,
    ):
        for name in straight.files:
            np.testing.assert_allclose(resumed[name], straight[name], atol=1e-3)


def test_digits_are_read_by_their_label(tmp_path):
    """Bars, upright or lying, anywhere: only the convolutions see which."""
    rng = np.random.default_rng(0)
    images, labels = np.zeros((400, 12, 12), "uint8"), rng.integers(0, 2, 400)
    for image, label in zip(images, labels):
        row, column = rng.integers(2, 7, 2)
        (image if label else image.T)[row, column : column + 4] = 255
    cohort = ArrayCohort(tmp_path / "bars.npz", images, labels)
    settings = TrainingSettings(epochs=8, batch_size=16, learning_rate=1e-2)
    predictor = CovariatePredictor(None)
    predictor.fit(
        cohort, run_dir=tmp_path, settings=settings, network={"widths": (16,)}
    )
    assert predictor.evaluate(cohort)["label"].accuracy > 0.95
    held_out = cohort.volumes("validation")
    assert set(predictor.predict(held_out)["label"]) == {"0", "1"}
    assert predictor.probabilities(held_out, column="label").shape == (80, 2)


def test_a_wrapper_says_where_its_weights_are_from():
    assert repr(CovariatePredictor(None)) == "CovariatePredictor(None)"
    folder = find_model("predictor-ixi-2mm")
    assert repr(CovariatePredictor(folder)) == f"CovariatePredictor({str(folder)!r})"


def test_wrong_input_is_reported(predictor, cohort, run, tmp_path):
    with pytest.raises(InputError, match="no weights yet"):
        CovariatePredictor(None)(np.zeros((1, 8, 8, 8)))
    with pytest.raises(InputError, match="no weights yet"):
        CovariatePredictor(None).probabilities(np.zeros((1, 8, 8, 8)))
    with pytest.raises(InputError, match=r"expected \(n, 16, 24, 16\)"):
        predictor(np.zeros((1, 8, 8, 8)))
    with pytest.raises(InputError, match="no volume"):
        predictor(np.zeros((0, 16, 24, 16)))
    with pytest.raises(InputError, match="with categories, sex"):
        predictor.probabilities(np.zeros((1, 16, 24, 16)), column="age")
    with pytest.raises(InputError, match="no column 'height'"):
        CovariatePredictor(None).fit(cohort, run_dir=tmp_path, conditions=("height",))
    with pytest.raises(InputError, match="holds a run made by another request"):
        CovariatePredictor(None).fit(
            cohort, run_dir=run, conditions=("age",), network=SMALL
        )
    with pytest.raises(InputError, match="model of kind predictor; expected ldm"):
        read_config(run, kinds=("ldm",))


def test_columns_are_decoded_as_they_were_encoded():
    age = Column("age", low=20, high=80)
    np.testing.assert_allclose(age.decode([age.encode(v) for v in (20, 95)]), [20, 95])
    sex = Column("sex", "category", categories=("F", "M"))
    assert sex.decode([1, 0]) == ["M", "F"]
