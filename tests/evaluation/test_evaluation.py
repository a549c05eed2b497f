"""Cohorts of phantoms, of noise, of blurred and of copied phantoms, evaluated."""

from dataclasses import replace
import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dipy_synth.errors import InputError
from dipy_synth.evaluation import Volumes, evaluate, load_cohorts, load_volumes
from dipy_synth.evaluation.adherence import Followed, compare_ageing, follow_conditions
from dipy_synth.evaluation.cohort_checks import find_identical
from dipy_synth.evaluation.findings import alike, as_asked, diverse, not_copied
from dipy_synth.evaluation.metric_tables import metric_rows, volume_rows
from dipy_synth.grid import Grid
from dipy_synth.metrics.comparison import Comparison, noise_like
from dipy_synth.metrics.conditioning import (
    CategoryFollowed,
    NumberFollowed,
    compare_trends,
)
from dipy_synth.metrics.diversity import Similarity
from dipy_synth.metrics.memorization import plant_copies
from dipy_synth.metrics.parcellation import REGIONS
from dipy_synth.metrics.spectrum import shuffle_phases
from dipy_synth.phantom import make_phantom
from dipy_synth.report.evaluation_page import evaluation_page
from dipy_synth.utils.files import write_json
from dipy_synth.utils.tables import read_table, write_table

GRID = Grid((36, 44, 36), (4.5,) * 3)
COARSE = Grid((20, 24, 20), (8.0,) * 3)
QUICK = {"repeats": 12, "pairs": 12, "tissues": False}


def phantoms(seeds, grid=GRID, name="phantoms"):
    made = [
        make_phantom(s, shape=grid.shape, voxel_size=grid.voxel_size) for s in seeds
    ]
    volumes = np.stack([phantom.data for phantom in made]).astype("float16")
    rows = tuple(phantom.covariates for phantom in made)
    return Volumes(volumes, grid, name=name, rows=rows)


def changed(cohort, function):
    volumes = np.stack([function(v.astype("float32")) for v in cohort.volumes])
    return replace(cohort, volumes=volumes.astype("float16"))


@pytest.fixture(scope="module")
def real():
    return phantoms(range(12), name="real")


@pytest.fixture(scope="module")
def train():
    return phantoms(range(100, 120), name="train")


@pytest.fixture(scope="module")
def others():
    return phantoms(range(300, 312), name="others")


@pytest.fixture(scope="module")
def good(real, train, others):
    return evaluate(real, others, train=train, **QUICK)


@pytest.fixture(scope="module")
def coarse():
    return phantoms(range(16), COARSE), phantoms(range(50, 66), COARSE)


def answers(evaluation):
    return {finding.question: finding.good for finding in evaluation.findings}


def words(evaluation):
    return {finding.question: finding.words for finding in evaluation.findings}


def test_other_real_volumes_are_evaluated_as_real(good):
    expected = dict.fromkeys(["not noise", "diverse", "not copied", "as asked"], True)
    found = answers(good)
    # so few volumes cannot show that they are alike
    assert found.pop("alike") is None
    assert found == expected, words(good)
    assert "volumes on either side are too few" in words(good)["alike"]
    assert not any(audit.void for audit in good.copies.values())
    names = [metric.name for metric in good.distribution["voxel noise"]]
    assert names[:3] == ["fid", "kid", "mmd"] and "coverage" in names
    assert {one.column for one in good.asked} == {"age", "sex"}
    assert all(one.real.p_value < 0.05 for one in good.asked)


def test_noise_is_detected(real, train, others):
    noise = replace(others, volumes=noise_like(others.volumes).astype("float16"))
    found = evaluate(real, noise, **QUICK)
    assert answers(found)["not noise"] is False and answers(found)["alike"] is False
    assert answers(found)["diverse"] is None
    followed, _ = follow_conditions(noise, real, train)
    assert as_asked(followed, None).good is False
    assert words(found)["not noise"].startswith("0 of 12 pass")
    mmd = found.distribution["voxel noise"][2]
    assert mmd.normalized == pytest.approx(1, abs=0.1)


def test_blur_and_lack_of_diversity_are_detected(real, others):
    blurred = changed(others, lambda volume: gaussian_filter(volume, 1))
    found = evaluate(real, blurred, **QUICK)
    assert answers(found)["not noise"] is False
    assert "high-frequency power of real (12)" in words(found)["not noise"]
    assert answers(found)["diverse"] is False
    one = replace(others, volumes=np.repeat(others.volumes[:1], 12, axis=0))
    noise = np.random.default_rng(0).normal(0, 0.01, one.volumes.shape)
    one = replace(one, volumes=(one.volumes + noise).clip(0, 1).astype("float16"))
    found = evaluate(real, one, **QUICK)
    assert answers(found)["diverse"] is False
    metrics = {one.name: one for one in found.distribution["voxel noise"]}
    assert metrics["vendi_ratio"].value < 0.5 < metrics["vendi_ratio"].floor


def test_blotches_are_detected_by_texture_though_shapes_are_right(real, others):
    blotched = changed(others, lambda volume: shuffle_phases(volume, seed=1))
    found = evaluate(real, blotched, **QUICK)
    assert answers(found)["alike"] is False
    by_features, by_texture = words(found)["alike"].split("; by the texture")
    assert "features, not shown, 3 volumes" in by_features
    assert "cortex, distinguishable" in by_texture
    assert "brains of blotches 1" in by_texture
    metrics = {one.name: one for one in found.texture["blotches"]}
    assert 0.5 < metrics["texture_of_cortex"].normalized < 1.5
    assert metrics["auc_of_brains"].value > 0.9 > metrics["auc_of_brains"].floor
    bands = [one for name, one in metrics.items() if name.startswith("power_0.")]
    assert len(bands) == 4 and all(0.5 < one.value < 1.6 for one in bands)
    assert all(np.isnan(one.normalized) and not one.warnings for one in bands)
    rows = [row for row in metric_rows(found) if row["ceiling_is"] == "blotches"]
    assert [row["metric"] for row in rows] == [*metrics]


def test_copies_are_detected_though_most_volumes_are_none(real, train, others):
    planted = [
        plant_copies(train.volumes[[i]], kind)[0]
        for i, kind in enumerate(("noisy", "shifted", "flipped"))
    ]
    volumes = np.concatenate([np.array(planted, "float16"), others.volumes[3:]])
    mixed = replace(others, volumes=volumes)
    found = evaluate(real, mixed, train=train, **QUICK)
    assert answers(found)["not copied"] is False
    audit = found.copies["voxels"]
    assert audit.copies[:3].all() and not audit.copies[3:].any()
    assert audit.samples.index[:3].tolist() == [0, 1, 2]
    metrics = {one.name: one for one in found.distribution["voxel noise"]}
    assert metrics["authenticity"].value <= 9 / 12  # no copy is authentic
    assert metrics["authenticity"].value < metrics["authenticity"].floor


def test_an_audit_that_finds_nothing_is_void(good):
    audit = good.copies["voxels"]
    blind = replace(audit, found=audit.found | {"blurred": 0.5})
    finding = not_copied({"voxels": blind})
    assert finding.good is None and "void, planted copies (blurred)" in finding.words
    copied = replace(audit.samples, similarity=np.full(12, 2.0))
    blind = replace(blind, samples=copied, flagged=np.ones(12, bool), p_value=1e-9)
    finding = not_copied({"voxels": blind})
    assert finding.good is False and "void" in finding.words
    assert "12 of 12 are as near to a training brain" in finding.words
    finding = not_copied({})
    assert finding.good is None and "training volumes" in finding.words


def test_training_volumes_are_named_though_the_audit_is_void(good, train, others):
    mixed = np.concatenate([others.volumes[:10], train.volumes[3:5]])
    same = find_identical(replace(others, volumes=mixed), train)
    assert same == (("10", "3"), ("11", "4"))
    blind = replace(good.copies["voxels"], found={"blurred": 0.5})
    finding = not_copied({"voxels": blind}, same)
    assert finding.good is False and "void" in finding.words
    assert finding.words.startswith("2 of 12 are training volumes")
    assert "(the first is 10)" in finding.words
    mirrored = replace(others, volumes=others.volumes[:, ::-1])
    assert find_identical(mirrored, train) == ()
    assert find_identical(mirrored, others)[2] == ("2", "2, mirrored")


def test_a_cohort_of_training_volumes_is_no(coarse):
    found = evaluate(*coarse, train=coarse[1], **QUICK)
    assert answers(found)["not copied"] is False and len(found.identical) == 16
    config = json.loads(json.dumps(found.to_config()))
    assert config["identical"][0] == "0"
    assert "index" not in config["copies"]["voxels"]["samples"]
    config = found.to_config(show_nearest=True)
    assert config["identical"][0] == ["0", "0"]
    assert config["copies"]["voxels"]["samples"]["index"][3] == 3
    table = volume_rows(found, *coarse[::-1], train=coarse[1])
    assert table[3]["is_training_volume"] == "yes"
    table = volume_rows(found, *coarse[::-1], train=coarse[1], show_nearest=True)
    assert table[3]["is_training_volume"] == "3"


def test_volumes_that_ignore_their_conditions_are_detected(real, train, others):
    order = np.random.default_rng(2).permutation(len(others))
    rows = [others.rows[i] for i in order]
    followed, _ = follow_conditions(replace(others, rows=rows), real, train)
    finding = as_asked(followed, None)
    assert finding.good is False and finding.words.startswith("age r")
    same = replace(others, rows=(others.rows[0],) * 12)
    for nothing in (replace(others, rows=()), same):
        followed, notes = follow_conditions(nothing, real, train)
        assert followed == () and "none that was requested" in notes[0]
        assert notes[0] in as_asked(followed, None, notes).words
    assert as_asked((), None).good is None


@pytest.mark.parametrize(
    "mae, real_p, p, slope, level, answer",
    [
        (8.0, 0.01, 0.001, 0.7, 50, True),
        (16.0, 0.01, 0.001, 0.7, 150, False),  # values off by 100 years can have an r
        (16.0, 0.01, 0.001, 0.7, 50, None),  # a reader may predict near its mean
        (8.0, 0.4, 0.001, 0.7, 50, None),  # a reader that fails on real brains is blind
        (8.0, 0.01, 0.2, 0.7, 50, None),  # too few to show a slope, nor another
        (8.0, 0.01, 0.001, 0.1, 50, False),  # a slope, but not that of real brains
        (17.0, 0.01, 0.6, 0.0, 50, False),
    ],
)
def test_a_number_is_followed_only_where_that_is_shown(
    mae, real_p, p, slope, level, answer
):
    line = (0.1, 40, level, 2)
    one = NumberFollowed(0.7, mae, 0.0, 17.0, p, 20, slope, *line)
    line = (0.1, 60, 65, 2)
    real = NumberFollowed(0.8, 6.0, 0.0, 17.0, real_p, 20, 0.75, *line)
    finding = as_asked((Followed("age", one, real, ()),), None)
    assert finding.good is answer
    assert ("not shown" in finding.words) == (answer is None)


@pytest.mark.parametrize(
    "accuracy, p, answer", [(0.9, 0.001, True), (0.5, 0.6, False), (0.75, 0.08, None)]
)
def test_a_category_is_followed_only_where_that_is_shown(accuracy, p, answer):
    one = CategoryFollowed(accuracy, 0.5, p, 20)
    real = CategoryFollowed(0.9, 0.5, 0.001, 30)
    sex = Followed("sex", one, real, ())
    assert as_asked((sex,), None).good is answer
    age = NumberFollowed(0.9, 5.0, 0.0, 17.0, 0.001, 20, 0.8, 0.1)
    age = Followed("age", age, age, ())
    assert as_asked((age, sex), None).good is answer  # all that was asked


def test_shuffled_conditions_are_not_followed():
    rng, yes, no = np.random.default_rng(0), 0, 0
    blind = NumberFollowed(0.1, 15.0, 0.0, 17.0, 0.4, 10, 0.1, 0.3)
    asked = (Followed("age", blind, blind, ()),)
    for _ in range(60):
        ages, real = rng.uniform(20, 80, 10), rng.uniform(20, 80, 30)
        one, other = (0.3 * x + rng.normal(0, 4, len(x)) for x in (ages, real))
        for side, asked_ages in enumerate((rng.permutation(ages), ages)):
            trend = compare_trends(asked_ages, one, real, other, shuffles=60)
            answer = as_asked(asked, trend).good
            yes += side == 0 and answer is True
            no += side == 1 and answer is False
    assert yes <= 3 and no <= 9


def test_the_p_value_stands_beside_the_synthetic_volumes():
    number = NumberFollowed(0.9, 5.0, 0.01, 15.0, 0.001, 28, 0.9, 0.1, 50, 50, 1)
    real = replace(number, p_value=0.004)
    category = CategoryFollowed(0.93, 0.5, 0.002, 28)
    sex = Followed("sex", category, replace(category, accuracy=0.75), ())
    words = as_asked((Followed("age", number, real, ()), sex), None).words
    assert "(shuffled 0.01, p 0.001), off by 5.0 (shuffled 15.0); on real" in words
    assert "93% (shuffled 50%, p 0.002); on real brains 75%" in words
    assert words.count(", p ") == 2


def comparison(name, n=14, interval=(-0.05, 0.1)):
    middle = sum(interval) / 2
    return Comparison(name, 0.1, (0, 1), 0.1, 0.1, 1, middle, interval, n, ())


@pytest.mark.parametrize(
    "n, interval, answer",
    [
        (14, (-0.05, 0.1), True),
        (5, (-0.06, 0.13), None),
        (14, (-0.2, 0.6), None),
        (5, (0.1, 0.3), None),
        (5, (0.3, 0.5), False),
        (14, (0.1, 0.3), False),
    ],
)
def test_alike_is_shown_by_enough_volumes(n, interval, answer):
    names = ("mmd", "recall", "texture_of_cortex", "auc_of_brains", "auc_of_blocks")
    metrics = [comparison(name, n, interval) for name in names]
    finding = alike(metrics, metrics)
    assert finding.good is answer
    sound = [comparison(name) for name in names]
    assert alike(sound, metrics).good is answer and alike(metrics, sound).good is answer
    assert ("not shown" in finding.words) == (answer is None)
    for words in ("normalised MMD", "normalised Fréchet distance"):
        assert f"{words} {sum(interval) / 2:.2f} (" in finding.words


@pytest.mark.parametrize(
    "mean, error, answer", [(0.7, 0.01, True), (0.9, 0.01, False), (0.7, 0.1, None)]
)
def test_diversity_is_shown_by_enough_pairs(mean, error, answer):
    real, synthetic = Similarity(0.7, 0.01, 60, 20), Similarity(mean, error, 60, 20)
    assert diverse(real=real, synthetic=synthetic).good is answer


def test_without_training_volumes_half_of_the_real_ones_is_fitted_on(real, others):
    found = evaluate(real, others, **QUICK)
    assert found.about["extractor"]["fitted_on"] == "6 of real"
    assert any("fitted on 6 of the real" in note for note in found.about["notes"])
    assert found.distribution["voxel noise"][1].n == 3
    assert found.copies == {} and answers(found)["not copied"] is None


def test_grey_matter_is_compared_by_region(good, real, others, tmp_path, read_page):
    assert good.regions == ()  # without tissues
    found = evaluate(real, others, **{**QUICK, "tissues": True})
    assert [one.name for one in found.regions] == list(REGIONS)
    metrics = {row["metric"]: row for row in metric_rows(found)}
    (insula,) = (one for one in found.regions if one.name == "insula")
    value = float(metrics["mean_insula_grey_ml"]["value"])
    assert value == pytest.approx(insula.synthetic[0], rel=1e-3) and value > 0
    assert found.to_config()["regions"][0]["name"] == "frontal"
    page = evaluation_page(found, real, others, path=tmp_path / "page.html")
    assert "Basal ganglia" in read_page(page).text


def test_ventricles_grow_with_age_as_in_real_brains(real, others):
    def measured(cohort, factor):
        noise = np.random.default_rng(0).normal(0, 0.5, len(cohort))
        return [factor * row["age"] for row in cohort.rows] + noise

    trend = compare_ageing(others, measured(others, 0.5), real, measured(real, 0.5))
    assert trend.agrees and trend.ratio == pytest.approx(1, abs=0.1)
    trend = compare_ageing(others, measured(others, 0), real, measured(real, 0.5))
    assert not trend.agrees
    nobody = replace(others, rows=())
    assert compare_ageing(nobody, [1.0] * 12, real, [1.0] * 12) is None


class Predictor:
    """Stands for a network: coarse means, and the requested age."""

    config = {"weights_sha256": "ab" * 32}

    def __init__(self, *cohorts):
        self.ages = {h: r["age"] for c in cohorts for h, r in zip(c.hashes(), c.rows)}

    def __call__(self, volumes):
        return np.asarray(volumes)[:, ::6, ::6, ::6].reshape(len(volumes), -1)

    def predict(self, volumes):
        hashes = Volumes(np.asarray(volumes), GRID).hashes()
        return {"age": np.array([self.ages[h] for h in hashes])}


def test_a_predictor_gives_features_and_reads_conditions(real, train, others):
    predictor = Predictor(real, train, others)
    found = evaluate(
        real, others, train=train, predictor=predictor, noise=train, **QUICK
    )
    assert found.about["extractor"]["sha256"] == "ab" * 32
    assert found.about["extractor"]["components"] == 16
    assert set(found.distribution) == {"voxel noise", "decoded noise"}
    (age,) = found.asked
    assert age.column == "age" and age.synthetic.mae == 0
    unread = "sex: not evaluated, since the predictor cannot predict it"
    assert unread in found.about["notes"]
    assert unread in words(found)["as asked"] and answers(found)["as asked"] is None
    assert as_asked((), None, (unread,)).words == unread


def test_a_column_that_real_brains_lack_is_named(real, train, others):
    rows = tuple({"years": row["age"]} for row in others.rows)
    found = evaluate(real, replace(others, rows=rows), train=train, **QUICK)
    (note,) = (note for note in found.about["notes"] if note.startswith("years"))
    assert f"{train.name} has no values of it (it has age, sex)" in note


def test_class_probabilities_give_the_inception_score(coarse):
    middle = np.median(coarse[0].volumes.mean(axis=(1, 2, 3)))

    def classes(volumes):
        high = np.asarray(volumes).mean(axis=(1, 2, 3)) > middle
        return np.stack([high, ~high], axis=1).astype(float)

    black = Volumes(np.zeros_like(coarse[0].volumes), COARSE, name="black")
    found = evaluate(*coarse, classes=classes, noise=black, **QUICK)
    rows = {name: rows[-1] for name, rows in found.distribution.items()}
    assert all(row.name == "inception_score" for row in rows.values())
    assert all(1 <= row.value <= 2 for row in rows.values())
    assert rows["decoded noise"].ceiling == pytest.approx(1)  # of one class
    assert rows["voxel noise"].ceiling > 1.01  # as light as the real ones, of both


def test_tissues_are_evaluated_and_metrics_agree_with_tables(coarse):
    real, synthetic = coarse
    found = evaluate(real, synthetic, **QUICK | {"tissues": True})
    assert len(found.ranges.limits) == 10
    content = json.loads(json.dumps(found.to_config(), allow_nan=False))
    assert content["not_noise"]["ranges"]["limits"]["similarity"][1] is None
    rows = {row["metric"]: row for row in metric_rows(found)}
    passed = np.mean([verdict.passed for verdict in found.verdicts])
    assert float(rows["share_passing"]["value"]) == pytest.approx(passed, abs=1e-4)
    mean = np.mean([row["brain_ml"] for row in found.ranges.real])
    assert float(rows["mean_brain_ml"]["floor"]) == pytest.approx(mean, rel=1e-4)
    table = volume_rows(found, synthetic, real)
    assert [row["cohort"] for row in table] == ["synthetic"] * 16 + ["real"] * 16
    assert table[0]["asked_age"] == f"{synthetic.rows[0]['age']:.5g}"


def test_two_evaluations_of_one_seed_are_equal(coarse):
    first, second = (evaluate(*coarse, **QUICK).to_config() for _ in range(2))
    assert first == second


def test_training_volumes_among_the_real_ones_are_refused(real, others):
    with pytest.raises(InputError, match="held out"):
        evaluate(real, others, train=real.take(slice(0, 3)), **QUICK)


def test_too_few_volumes_or_another_grid_are_refused(real, others):
    with pytest.raises(InputError, match="1 volume; expected 4"):
        evaluate(real, others.take([0]), **QUICK)
    with pytest.raises(InputError, match="7 volumes; expected 8 .* of 40 subjects"):
        evaluate(real.take(slice(0, 7)), others, **QUICK)
    with pytest.raises(InputError, match="expected the real volumes'"):
        evaluate(real, phantoms(range(4), COARSE), **QUICK)
    with pytest.raises(InputError, match="of type ndarray: expected Volumes"):
        evaluate(real, others.volumes, **QUICK)


def test_options_and_extractors_that_cannot_be_are_refused(coarse):
    options = {**QUICK, "repeats": 0}
    with pytest.raises(InputError, match="0 repeats: expected one or more"):
        evaluate(*coarse, **options)
    for wrong in (lambda x: np.zeros(len(x)), lambda x: np.full((len(x), 3), np.nan)):
        with pytest.raises(InputError, match="^features: "):
            evaluate(*coarse, extractor=wrong, **QUICK)


def test_volumes_may_be_a_list_of_arrays_or_images(coarse):
    arrays, grid = [*coarse[0].volumes], coarse[0].grid
    images = [nib.Nifti1Image(v.astype("float32"), grid.affine) for v in arrays]
    for volumes in (arrays, images):
        assert Volumes(volumes, grid).hashes() == coarse[0].hashes()


# --- folders ----------------------------------------------------------------------


def save(folder, cohort, *, affine=None, table=True):
    folder.mkdir(parents=True)
    for name, volume in zip(cohort.names, cohort.volumes):
        image = nib.Nifti1Image(
            volume.astype("float32"), cohort.grid.affine if affine is None else affine
        )
        nib.save(image, folder / f"sub-{name}_T1w.nii.gz")
    rows = [
        {"participant_id": f"sub-{n}", "matched_id": "x", **row}
        for n, row in zip(cohort.names, cohort.rows)
    ]
    if table:
        write_table(folder / "participants.tsv", rows)
    return folder


def test_a_prepared_cohort_gives_its_sides(prepared_folder, tmp_path):
    found = load_cohorts(prepared_folder, prepared_folder)
    sizes = {name: side and len(side) for name, side in found.items()}
    assert sizes == {"real": 2, "synthetic": 8, "train": 6, "noise": None}
    assert found["real"].names == ("sub-03", "sub-06")
    assert found["real"].rows[0] == {"age": "38.0", "sex": "F"}
    other = load_cohorts(prepared_folder, prepared_folder, train=prepared_folder)
    assert other["train"].hashes() == found["train"].hashes()
    pattern = f"{prepared_folder}/sub-0[1-4]/anat/*prepared_T1w.nii.gz"
    plain = load_volumes(pattern)
    assert plain.names == tuple(f"sub-0{i}" for i in range(1, 5))
    assert plain.hashes() == found["synthetic"].hashes()[:4]
    assert plain.rows[0]["sex"] == "F" and plain.grid == found["real"].grid
    write_json(
        tmp_path / "dataset_description.json", {"DipySynth": {"Sampler": "heun"}}
    )
    with pytest.raises(InputError, match="expected the real ones first"):
        load_cohorts(tmp_path, prepared_folder)


def test_a_session_of_a_prepared_cohort_has_its_own_columns(prepared_folder, tmp_path):
    folder = shutil.copytree(prepared_folder, tmp_path / "prepared")
    for path in list((folder / "sub-03" / "anat").iterdir()):
        name = path.name.replace("sub-03_", "sub-03_ses-b_")
        path.rename(path.with_name(name))
    visit = {"session_id": "ses-b", "tumor": "meningioma", "age": "39"}
    write_table(folder / "sub-03" / "sub-03_sessions.tsv", [visit])
    with pytest.raises(InputError, match="0 volumes in test; expected 1"):
        load_volumes(folder, split="test")
    found = load_volumes(folder, split="validation")
    assert found.names == ("sub-03_ses-b", "sub-06")
    assert found.rows[0] == {"age": "39", "sex": "F", "tumor": "meningioma"}
    assert "tumor" not in found.rows[1]


def test_a_synthetic_cohort_is_read_with_its_requested_conditions(coarse, tmp_path):
    folder = save(tmp_path / "made", coarse[1].take([0, 1]))
    description = {"DipySynth": {"ModelHash": "x", "Steps": 12, "Sampler": "heun"}}
    write_json(folder / "dataset_description.json", description)
    found = load_volumes(folder)
    assert len(found) == 2 and set(found.rows[0]) == {"age", "sex"}


def test_axes_that_run_the_other_way_are_turned(coarse, tmp_path):
    one = coarse[0].take([0, 1])
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = one.grid.shape[0] - 1
    turned = replace(one, volumes=one.volumes[:, ::-1])
    folder = save(tmp_path / "lps", turned, affine=one.grid.affine @ flip)
    found = load_volumes(folder, grid=one.grid)
    assert found.hashes() == one.hashes() and not found.notes
    assert load_volumes(folder).grid == one.grid


def test_another_grid_is_resampled_and_said_or_refused(tmp_path):
    fine = phantoms([0, 1], Grid((40, 48, 40), (4.0,) * 3))
    folder = save(tmp_path / "fine", fine)
    found = load_volumes(folder, grid=COARSE)
    assert found.volumes.shape == (2, 20, 24, 20) and found.grid == COARSE
    assert "2 volumes" in found.notes[0] and "20 x 24 x 20" in found.notes[0]
    direct = phantoms([0, 1], COARSE)
    both = (found.volumes[0].ravel(), direct.volumes[0].ravel())
    assert np.corrcoef(*np.array(both, float))[0, 1] > 0.9
    nowhere = save(tmp_path / "nowhere", fine, affine=np.diag([4.0, 4, 4, 1]))
    with pytest.raises(InputError) as error:
        load_volumes(nowhere, grid=COARSE)
    assert "(40, 48, 40)" in str(error.value) and "(20, 24, 20)" in str(error.value)
    assert "sub-0_T1w" in str(error.value)
    tiny = save(
        tmp_path / "tiny", fine, affine=np.diag([0.1] * 3 + [1]) @ fine.grid.affine
    )
    with pytest.raises(InputError, match="has 1.* mL; .* are the voxel sizes right"):
        load_volumes(tiny, grid=COARSE)
    oblique = COARSE.affine
    oblique[0, 1] = 2.0
    with pytest.raises(InputError, match="oblique"):
        load_volumes(save(tmp_path / "oblique", direct, affine=oblique))


def test_contradictions_of_headers_are_noted(coarse, tmp_path):
    folder = save(tmp_path / "some", coarse[0].take([0, 1]))
    path = folder / "sub-1_T1w.nii.gz"
    image = nib.load(path)
    image = nib.Nifti1Image(image.get_fdata(), image.affine)
    image.header.set_xyzt_units("meter")
    nib.save(image, path)
    (note,) = load_volumes(folder).notes
    assert note.startswith("1 volumes have contradictions") and "unit is meter" in note


def spoilt(volumes, value):
    volumes = volumes.astype("float32")
    volumes[1, 5, 5, 5] = value
    return volumes


def test_volumes_that_cannot_be_evaluated_are_named(coarse, tmp_path):
    two = coarse[0].take([0, 1])
    for name, volumes, match in (
        ("nan", spoilt(two.volumes, np.nan), "sub-1_T1w.nii.gz: 1 voxels are NaN"),
        ("unit", two.volumes.astype("float32") * 900, "expected .0, 1."),
        ("dark", two.volumes.astype("float32") / 1000, "to 0.0009.*; expected .0, 1."),
        ("flat", two.volumes * 0, "sub-0_T1w.nii.gz: all voxels are 0"),
    ):
        folder = save(tmp_path / name, replace(two, volumes=volumes))
        with pytest.raises(InputError, match=match):
            load_volumes(folder)
    with pytest.raises(InputError, match="empty"):
        (tmp_path / "empty").mkdir()
        load_volumes(tmp_path / "empty")
    brains = two.volumes.astype("float32")
    for name, volumes, match in (
        ("z", np.where(brains > 0, 3 * brains - 1.5, 0), "of them outside of .0, 1."),
        ("tanh", 2 * brains - 1, "from -1 to .* of them outside"),
        ("grey", np.where(brains > 0, brains, 0.5), "a background of 0.5; expected 0"),
    ):
        folder = save(tmp_path / name, replace(two, volumes=volumes))
        with pytest.raises(InputError, match=f"sub-0_T1w.nii.gz: .*{match}"):
            load_volumes(folder)
        assert len(load_volumes(folder, noise=True)) == 2
    folder = save(tmp_path / "over", replace(two, volumes=spoilt(two.volumes, 1.5)))
    found = load_volumes(folder)
    assert found.volumes.max() == 1 and "goes from 0 to 1.5" in found.notes[0]
    assert read_table(folder / "participants.tsv")


COHORTS = (phantoms(range(100, 112), COARSE), phantoms(range(20), COARSE))


def follow(change):
    asked, real = COHORTS
    asked = replace(asked, rows=tuple(change(dict(row)) for row in asked.rows))
    return follow_conditions(asked, real, real)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: {"sex": "FM".index(r["sex"])}, "0, 1 in .* and F, M in"),
        (lambda r: {"age": "old" if r["age"] > 50 else "young"}, "a number in"),
        (lambda r: {"sex": {"F": "a", "M": "b"}[r["sex"]]}, "a, b in"),
    ],
)
def test_a_column_of_other_words_is_left_and_reported(change, words):
    followed, notes = follow(change)
    assert followed == ()
    (note,) = notes
    assert re.search(f"not evaluated, since it is .*{words}", note)
    finding = as_asked(followed, None, notes)
    assert finding.good is None and note in finding.words


def test_a_condition_of_several_categories_is_predicted():
    ages = ("young", "middle", "old")
    asked, real = (
        replace(side, rows=tuple({"stage": ages[i % 3]} for i in range(len(side))))
        for side in COHORTS
    )
    (found,), notes = follow_conditions(asked, real, real)
    assert notes == () and found.synthetic.n == len(asked)
    assert found.synthetic.kind == "category" and set(found.predicted) <= set(ages)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: {"age": f"{r['age']:.1f}Y"},
        lambda r: {"age": f"{r['age']:.1f}".replace(".", ",")},
        lambda r: {"sex": {"F": "female", "M": "male"}[r["sex"]]},
    ],
)
def test_a_column_of_other_spelling_is_the_same_column(change):
    (found,), notes = follow(change)
    ((plain,), _) = follow(lambda r: {found.column: r[found.column]})
    assert notes == () and found.predicted == plain.predicted
    assert found.real == plain.real
