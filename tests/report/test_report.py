"""The page of a prepared cohort: its metrics on arrays, its text on phantoms."""

from datetime import date
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from dipy_synth import __version__
from dipy_synth.data.prepared import mask_path, prepared_path
from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import correlation
from dipy_synth.report import measure_quality, quality_page
from dipy_synth.report.cohort_facts import summarize_columns
from dipy_synth.report.drawing import histogram_path, outline, slices
from dipy_synth.report.measures import robust_z, sorted_by_score, tilts
from dipy_synth.utils.files import read_json, write_json
from dipy_synth.utils.tables import read_table, write_table


def change(root, key, volume=lambda x: x, mask=lambda x: x):
    """Write a prepared volume and its mask anew."""
    image = prepared_path(root, key)
    for path, function in ((image, volume), (mask_path(image), mask)):
        old = nib.load(path)
        data = np.asanyarray(old.dataobj)
        nib.save(nib.Nifti1Image(function(data).astype(data.dtype), old.affine), path)


def measure(volumes, masks=None, **options):
    """Measure volumes whose brains are where they are not 0, if no mask is given."""
    volumes = np.asarray(volumes)
    return measure_quality(zip(volumes, volumes if masks is None else masks), **options)


def turned(degrees, i, j):
    """A rotation in the plane of two axes."""
    matrix = np.eye(3)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def shifted(x):
    return np.roll(x, 3, axis=1)


def halved(x):
    return x * (np.arange(len(x)) < len(x) // 2)[:, None, None]


def noisy(x):
    noise = np.random.default_rng(0).random(x.shape)
    return np.where(x > 0, noise, 0)


@pytest.fixture
def cohort(prepared_folder, tmp_path):
    """Copy of the shared cohort that a test may change."""
    return shutil.copytree(prepared_folder, tmp_path / "cohort")


@pytest.fixture(scope="session")
def twenty(write_prepared, tmp_path_factory):
    """Prepared cohort of 20 phantoms, as many as outliers need. Shared."""
    return write_prepared(tmp_path_factory.mktemp("twenty") / "cohort", 20)


@pytest.fixture
def many(twenty, tmp_path):
    """Copy of it that a test may change."""
    return shutil.copytree(twenty, tmp_path / "many")


@pytest.fixture(scope="module")
def written(prepared_folder, tmp_path_factory):
    return quality_page(
        prepared_folder, path=tmp_path_factory.mktemp("page") / "look.html"
    )


def test_robust_z_against_hand_computed_values():
    z = robust_z([1, 2, 3, 4, 100])  # median 3, deviations 2 1 0 1 97: their median 1
    assert z == pytest.approx(np.array([-2, -1, 0, 1, 97]) / 1.482602)


def test_robust_z_of_normal_values_is_their_z():
    values = np.random.default_rng(0).normal(5, 2, 20_000)
    assert robust_z(values) == pytest.approx((values - 5) / 2, abs=0.1)


def test_robust_z_survives_equal_and_unknown_values():
    assert robust_z([2, 2, 2]).tolist() == [0, 0, 0]
    assert robust_z([np.nan]).tolist() == [0]
    z = robust_z([1, 1, 1, 1, np.nan, 6])  # mean deviation 1
    assert z == pytest.approx([0, 0, 0, 0, 0, 5 / 1.253314])


def test_correlation_leaves_out_the_common_background():
    x, y = np.zeros((2, 4, 4, 4))
    x[0, 0, :3], y[0, 0, :3] = [1, 2, 3], [3, 1, 2]
    assert correlation(x, y) == pytest.approx(-0.5)
    assert correlation(x, 5 * x) == pytest.approx(1)
    assert correlation(x, np.zeros_like(x)) == correlation(0 * x, 0 * x) == 0


def test_metrics_against_closed_forms():
    rng = np.random.default_rng(0)
    volumes = rng.random((3, 4, 4, 4)) * 0.9 + 0.1
    volumes[:, :2] = 0
    rows, mean, share = measure(volumes, voxel_volumes=[1, 2, 0.5])
    assert [row.brain_volume for row in rows] == [32, 64, 16]
    assert mean == pytest.approx(volumes.mean(axis=0))
    assert share == pytest.approx((volumes > 0).mean(axis=0))
    others = (volumes[0, 2:] + volumes[1, 2:]).ravel() / 2
    expected = np.corrcoef(volumes[2, 2:].ravel(), others)[0, 1]
    assert rows[2].correlation == pytest.approx(expected, abs=1e-6)
    mirrored = np.corrcoef(volumes[1].ravel(), volumes[1, ::-1].ravel())[0, 1]
    assert rows[1].symmetry == pytest.approx(mirrored, abs=1e-6)


def test_size_does_not_make_a_brain_an_outlier():
    places = np.stack(np.meshgrid(*[np.arange(40) - 19.5] * 3, indexing="ij"))
    radii = [12, 12, 12, 14]
    brains = []
    for radius in radii:
        away = np.linalg.norm(places, axis=0) / radius
        brains.append(np.where(away < 1, 0.5 + 0.4 * np.cos(9 * away), 0))
    rows, _, _ = measure(brains)
    assert correlation(brains[3], brains[0]) < 0.7
    assert rows[3].correlation > 0.95


def test_blocks_of_about_4_mm_are_compared():
    rng = np.random.default_rng(0)
    smooth = rng.random((6, 4, 6)).repeat(2, 0).repeat(2, 1).repeat(2, 2) / 2 + 0.25
    fine = [np.indices(smooth.shape).sum(0) % 2 * sign for sign in (0.2, -0.2)]
    volumes = [smooth + x for x in fine]
    assert measure(volumes, voxel_size=(2, 2, 2))[0][0].correlation > 0.999
    assert measure(volumes, voxel_size=(4, 4, 4))[0][0].correlation < 0.9


def test_a_lesion_on_one_side_costs_symmetry():
    rng = np.random.default_rng(0)
    half = rng.random((3, 4, 8, 8)) * 0.5 + 0.5
    volumes = np.concatenate([half, half[:, ::-1]], axis=1)
    assert measure(volumes)[0][0].symmetry == pytest.approx(1)
    volumes[0, 5:, 2:5, 2:5] = 0.1
    rows, _, _ = measure(volumes)
    assert rows[0].symmetry < 0.9 < rows[1].symmetry


def test_tilt_is_the_angle_from_the_mean_orientation():
    nods = [-10, -5, 0, 5, 10]
    found = tilts([turned(20 + nod, 1, 2) for nod in nods])
    assert found == pytest.approx(np.abs(nods), abs=1e-6)
    stretched = turned(30, 0, 1) @ np.diag([1.1, 0.9, 1.2])
    assert tilts([turned(30, 0, 1), stretched]) == pytest.approx([0, 0], abs=1e-6)
    nods = [12, 13, 11, 12.5, 11.5, 12, -20]
    heads = [turned(nod, 1, 2) for nod in nods]
    rows, _, _ = measure(np.ones((7, 2, 2, 2)), orientations=heads)
    assert sorted_by_score(rows)[0] is rows[6] and rows[6].score > 3.5
    assert not rows[6].enough and rows[6].outliers == []  # too few to tell
    heads = [turned(nod, 1, 2) for nod in nods[:6] * 3 + nods[5:]]
    rows, _, _ = measure(np.ones((20, 2, 2, 2)), orientations=heads)
    assert sorted_by_score(rows)[0] is rows[19] and rows[19].outliers == ["tilt"]


def test_a_failed_alignment_is_an_outlier_and_warnings_come_first():
    found = [0.7, 0.72, 0.69, 0.71, 0.7] * 4
    found[7] = 0.2
    warnings = [()] * 20
    warnings[3] = ("sform and qform disagree",)
    rows, _, _ = measure(np.ones((20, 2, 2, 2)), alignments=found, warnings=warnings)
    assert sorted_by_score(rows)[:2] == [rows[3], rows[7]]
    assert rows[7].outliers == ["alignment"] and rows[3].outliers == []
    assert [row.stands_out for row in rows] == [i in (3, 7) for i in range(20)]


def test_histogram_distance_is_how_far_intensities_move():
    levels = [0.21, 0.21, 0.51]  # all voxels in one bin each, 15 bins of 0.02 apart
    volumes = np.stack([np.full((3, 3, 3), level) for level in levels])
    rows, _, _ = measure(volumes)
    distances = [row.histogram_distance for row in rows]
    assert distances == pytest.approx([0.15, 0.15, 0.3])  # half of the others is near


def test_the_mask_defines_the_brain():
    volumes, masks = np.ones((2, 4, 4, 4)), np.zeros((2, 4, 4, 4), bool)
    masks[:, 0] = True
    rows, _, _ = measure(volumes, masks, voxel_volumes=0.5, names=["a", "b"])
    assert [row.brain_volume for row in rows] == [8, 8]
    assert [row.name for row in rows] == ["a", "b"]


def test_low_similarity_is_an_outlier_and_volume_on_both_sides():
    rng = np.random.default_rng(1)
    volumes = rng.random((9, 6, 6, 6)) * 0.1 + 0.4
    volumes[3, 1:] = 0
    rows, _, _ = measure(volumes)
    assert sorted_by_score(rows)[0] is rows[3]
    assert rows[3].z["brain_volume"] < 0 < rows[3].outlier_scores["brain_volume"]
    assert rows[3].score == max(rows[3].outlier_scores.values())
    best = max(rows, key=lambda row: row.correlation)
    assert best.z["correlation"] > 0 == best.outlier_scores["correlation"]


def test_a_cohort_of_one_or_none():
    rows, _, _ = measure(np.ones((1, 2, 2, 2)))
    assert rows[0].score == 0 and np.isnan(rows[0].correlation)
    with pytest.raises(InputError, match="no volume"):
        measure_quality([])


def test_outline_runs_along_the_pixels():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    edges = "M1 1h3M1 3h3M1 1v2M4 1v2"
    assert outline(mask) == edges
    assert outline(np.zeros((2, 2))) == ""


def test_histogram_is_drawn_upwards_and_cut():
    assert histogram_path([0, 0.5, 3], top=1) == "M0 20V20.0h1V10.0h1V0.0h1V20Z"


def test_planes_keep_their_proportions_in_mm():
    x = np.zeros((4, 6, 8))
    picture = slices(x, x, (3.0, 2.0, 1.0), label="a")
    assert (picture["width"], picture["height"]) == (44, 12)  # 12 mm each, two gaps
    places = [[p[k] for k in ("left", "top", "height")] for p in picture["planes"]]
    assert places == [[0, 2, 8], [16, 2, 8], [32, 0, 12]]


def test_columns_are_described_by_their_kind():
    rows = [{"age": a, "sex": s} for a, s in (("20", "F"), ("30.5", "M"), (None, "F"))]
    rows = [row | {"site": f"s{i}"} for i, row in enumerate(rows * 3)]
    age, sex = summarize_columns(rows[:9], ["train"] * 8 + ["validation"])
    assert age["all"] == "mean 25.2, 20.0 to 30.5, 3 unknown"
    assert age["validation"] == "n/a"
    assert sex["train"] == "F 5, M 3" and sex["validation"] == "F 1, M 0"


def test_page_stands_alone_and_is_well_formed(written, read_page):
    read_page(written).check()
    assert read_page(written).count("script") == 1
    assert "url(" not in written.read_text() and "@import" not in written.read_text()


def test_page_shows_every_volume_and_its_contents(written, read_page):
    page = read_page(written)
    assert all(f"sub-0{i}" in page.text for i in range(1, 9))
    aims = [v[1:] for v in page.values("href") if v.startswith("#")]
    assert aims[:5] == ["outliers", "metrics", "cohort", "volumes", "about"]
    assert page.count("article") == 8
    assert page.count("details") == 8
    assert page.count("image") == 3 * (9 + 8 * 4)
    assert "8 volumes of 8 subjects (6 train, 2 validation)" in page.text


def test_page_says_by_what_it_was_written(prepared_folder, read_page, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["/bin/dipy_preprocess_t1", "a <b>", "--seed", "3"])
        page = read_page(quality_page(prepared_folder, path=tmp_path / "page.html"))
    page.check()
    assert "dipy_preprocess_t1 'a <b>' --seed 3" in page.text
    assert f"dipy_synth {__version__}" in page.text
    assert f"numpy {np.__version__}" in page.text
    year = str(date.today().year)
    assert any(text.startswith(year) for text in page.texts)


def test_the_template_is_outlined_over_aligned_brains_only(cohort, read_page):
    assert "mni-0" not in read_page(quality_page(cohort)).values("id")
    path = cohort / "dataset_description.json"
    described = read_json(path)
    described["DipySynth"]["Preprocessing"] = {"align": "rigid"}
    write_json(path, described)
    page = read_page(quality_page(cohort))
    assert page.values("href").count("#mni-1") == 8 + 1  # cards, and the mean
    (outline,) = [a["d"] for _, a in page.tags if a.get("id") == "mni-1"]
    x = [int(v) for v in re.findall(r"M(\d+) ", outline)]
    # 140 mm wide on voxels of 10 mm, in the middle of 16
    assert 12 <= max(x) - min(x) <= 14 and max(x) + min(x) == 16


def test_table_has_the_metrics_worst_first(written, prepared_folder, read_page):
    rows = read_table(written.with_suffix(".tsv"))
    assert {row["outliers"] for row in rows} == {"too few to tell"}
    assert {row["score"] for row in rows} == {None}
    assert "Outliers: too few to tell" in read_page(written).text
    for row in rows:
        image = prepared_path(prepared_folder, row["volume"])
        mask = np.asanyarray(nib.load(mask_path(image)).dataobj)
        volume = mask.sum() * 0.8  # 10 x 8 x 10 mm
        assert float(row["brain_volume"]) == pytest.approx(volume, rel=1e-4)


@pytest.mark.parametrize(
    "volume, mask, metric",
    [
        (shifted, shifted, "correlation"),
        (halved, halved, "brain_volume"),
        (noisy, lambda x: x, "histogram_distance"),
        (lambda x: x**3, lambda x: x, "histogram_distance"),
    ],
    ids=["shifted", "half", "noise", "dark"],
)
def test_an_injected_outlier_comes_first(many, volume, mask, metric, read_page):
    change(many, "sub-05", volume, mask)
    path = quality_page(many)
    assert path == many / "quality.html"
    rows = read_table(many / "quality.tsv")
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    first, second = rows[:2]
    assert first["volume"] == "sub-05" and metric in first["outliers"]
    assert float(first["score"]) > 1.5 * float(second["score"])
    page = read_page(path)
    assert [v for v in page.values("href") if v[2:].isdigit()][0] == "#v0"
    assert next(t for t in page.texts if t.startswith("sub-")) == "sub-05"
    assert sum(a.get("class") == "outlier" for tag, a in page.tags if tag == "circle")


def test_volume_is_measured_in_native_space(cohort):
    path = prepared_path(cohort, "sub-02")
    sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
    half = np.diag([0.5, 1, 1, 1]).tolist()
    before = {r["volume"]: r for r in read_table(quality_page_table(cohort))}
    write_json(sidecar, read_json(sidecar) | {"PreparedToNative": half})
    after = {r["volume"]: r for r in read_table(quality_page_table(cohort))}
    ratio = [float(t["sub-02"]["brain_volume"]) for t in (after, before)]
    assert ratio[0] / ratio[1] == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("size", ["cohort", "many"])
def test_what_the_preparation_warned_of_comes_first(size, request, read_page):
    cohort = request.getfixturevalue(size)
    path = prepared_path(cohort, "sub-06")
    sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
    words = "the alignment may have failed: correlation <0.2>"
    changed = {"Warnings": [words], "AlignmentCorrelation": 0.2}
    write_json(sidecar, read_json(sidecar) | changed)
    page = read_page(quality_page(cohort))
    first, second, *_ = read_table(cohort / "quality.tsv")
    assert first["volume"] == "sub-06" and first["warnings"] == words
    assert float(first["alignment"]) == 0.2 and second["alignment"] is None
    assert f"1 of {len(list(cohort.glob('sub-*')))} volumes is an outlier" in page.text
    assert words in page.text and page.wrong == []
    assert next(t for t in page.texts if t.startswith("sub-")) == "sub-06"


def test_tilt_is_measured_only_where_something_was_aligned(many):
    cohort, tables = many, []
    for align in ("rigid", "none"):
        path = prepared_path(cohort, "sub-02")
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        matrix = np.eye(4)
        matrix[:3, :3] = turned(40, 1, 2)
        changed = {
            "PreparedToNative": matrix.tolist(),
            "Preprocessing": {"align": align},
        }
        write_json(sidecar, read_json(sidecar) | changed)
        tables.append({r["volume"]: r for r in read_table(quality_page_table(cohort))})
    turned_one, unknown = (table["sub-02"] for table in tables)
    assert "tilt" in turned_one["outliers"] and float(turned_one["tilt"]) > 30
    assert unknown["tilt"] is None and "tilt" not in (unknown["outliers"] or "")


def quality_page_table(cohort):
    return quality_page(cohort).with_suffix(".tsv")


def test_hostile_names_are_only_text(cohort, read_page):
    label = "sub-<img src='http:x' onerror=\"alert(1)\">&$title"
    label = label.replace("/", "")
    (cohort / "sub-03").rename(cohort / label)
    for path in (cohort / label / "anat").iterdir():
        path.rename(path.with_name(path.name.replace("sub-03", label)))
    rows = read_table(cohort / "participants.tsv")
    rows[2] |= {"participant_id": label, "sex": "<script>"}
    write_table(cohort / "participants.tsv", rows)
    description = read_json(cohort / "dataset_description.json")
    write_json(
        cohort / "dataset_description.json", description | {"Name": "</title><b>$x"}
    )
    page = read_page(quality_page(cohort))
    assert page.wrong == []
    assert page.count("img") == 0 and page.count("script") == 1
    assert label in page.text and "</title><b>$x" in page.text


def test_one_volume_gets_a_page(write_prepared, tmp_path, read_page):
    root = write_prepared(tmp_path / "one", 1)
    assert "cannot be compared" in read_page(quality_page(root)).text


def test_the_cohort_is_only_read(cohort, tmp_path):
    before = sorted(p for p in cohort.rglob("*"))
    quality_page(cohort, path=tmp_path / "new" / "page.html")
    assert sorted(p for p in cohort.rglob("*")) == before
    assert (tmp_path / "new" / "page.tsv").is_file()


def test_absent_empty_or_broken_cohorts_are_reported(cohort, tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        quality_page(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"\.html"):
        quality_page(cohort, path=tmp_path / "page.tsv")
    change(cohort, "sub-04", lambda x: np.where(x > 0.5, np.nan, x))
    with pytest.raises(InputError, match="sub-04.*NaN"):
        quality_page(cohort)
    change(cohort, "sub-02", mask=np.zeros_like)
    with pytest.raises(InputError, match="sub-02.*brain_mask.*all zero"):
        quality_page(cohort)
    for folder in cohort.glob("sub-*"):
        shutil.rmtree(folder)
    with pytest.raises(InputError, match="no prepared volume"):
        quality_page(cohort)
