"""Phantoms look like brains in numbers; tumours lie where they were asked for."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.phantom import (
    KINDS,
    LABELS,
    LOCATIONS,
    TISSUES,
    make_phantom,
    simulate_tumor,
)
from dipy_synth.phantom.shapes import (
    chain,
    draw_waves,
    ellipsoid,
    filled,
    join,
    random_field,
    sheet,
    world_points,
)

CLEAN = {"noise": 0.0, "shape": (40, 48, 40), "voxel_size": 4.0}


@pytest.fixture(scope="module")
def brain():
    return make_phantom(3, age=50, sex="F", **CLEAN)


# ------------------------------------------------------------------------- shapes


def test_filled_and_sheet_keep_the_volume_of_thin_things():
    x = np.arange(-20, 20, 0.01)  # every position of a voxel 4 mm wide
    assert np.sum(sheet(np.abs(x), 0.5, 4.0)) * 0.01 == pytest.approx(1.0, abs=1e-3)
    assert np.sum(sheet(np.abs(x), 3.0, 4.0)) * 0.01 == pytest.approx(6.0, abs=1e-3)
    assert np.sum(filled(5 - np.abs(x), 4.0)) * 0.01 == pytest.approx(10.0, abs=1e-3)
    assert np.allclose(
        filled(np.array([-9, -1, 0, 1, 9]), 4.0), [0, 0.25, 0.5, 0.75, 1]
    )


def test_depths_are_distances_where_a_formula_is_known():
    points = np.random.default_rng(0).uniform(-30, 30, (50, 3)).astype(np.float32)
    away = np.linalg.norm(points - [1, 2, 3], axis=1)
    assert np.allclose(ellipsoid(points, (1, 2, 3), (9, 9, 9)), 9 - away, atol=1e-4)
    rod = chain(points, (((0, 0, -50), 2.0), ((0, 0, 50), 2.0)), growth=2.0)
    assert np.allclose(rod, 4 - np.hypot(points[:, 0], points[:, 1]), atol=1e-4)


def test_join_is_a_union_away_from_the_seam():
    a, b = np.array([5.0, -9.0, 1.0]), np.array([-9.0, 4.0, 1.0])
    assert np.allclose(join(a, b, 4.0), [5, 4, 2])


def test_random_field_has_mean_0_and_variance_1():
    points = np.random.default_rng(1).uniform(0, 500, (20000, 3)).astype(np.float32)
    values = random_field(draw_waves(np.random.default_rng(2), 30, 20.0), points)
    assert abs(values.mean()) < 0.03
    assert abs(values.std() - 1) < 0.03


# ------------------------------------------------------------------------ phantoms


def test_phantom_is_what_it_says(brain):
    assert brain.data.dtype == np.float32
    assert brain.mask.dtype == bool
    assert brain.labels.dtype == np.uint8
    assert brain.data.shape == brain.mask.shape == brain.labels.shape == (40, 48, 40)
    assert brain.data.min() == 0
    assert brain.data.max() <= 1
    assert np.all(brain.data[~brain.mask] == 0)
    assert np.all(brain.data[brain.mask] > 0)
    assert np.array_equal(brain.labels > 0, brain.mask)
    assert np.array_equal(brain.affine, Grid(**_grid(CLEAN)).affine)
    assert brain.covariates == {"age": 50.0, "sex": "F"}


def _grid(options):
    return {"shape": options["shape"], "voxel_size": (options["voxel_size"],) * 3}


def test_seed_decides():
    first, again, other = (
        make_phantom(s, **CLEAN | {"noise": 0.05}) for s in (1, 1, 2)
    )
    assert np.array_equal(first.data, again.data)
    assert first.covariates == again.covariates
    assert not np.array_equal(first.mask, other.mask)
    assert first.covariates != other.covariates


def test_brain_has_the_size_and_the_place_of_one(brain):
    volume = brain.mask.sum() * 4.0**3 / 1000
    assert 1200 < volume < 1800  # mL
    points = world_points(brain.mask.shape, brain.affine)[brain.mask]
    extent = np.ptp(points, axis=0)
    assert np.all(np.abs(extent - [133, 170, 150]) < 15)
    assert abs(points[:, 0].mean()) < 1.5
    assert not brain.mask[[0, -1]].any()
    assert not brain.mask[:, [0, -1]].any()


def test_tissues_have_the_order_of_a_t1_image(brain):
    means = [brain.data[brain.labels == LABELS[t]].mean() for t in ("csf", "grey")]
    white = brain.data[brain.labels == LABELS["white"]]
    assert 0 < means[0] < means[1] < white.mean()
    grey_to_white = np.sum(brain.labels == LABELS["grey"]) / white.size
    assert 0.8 < grey_to_white < 2.5


def test_fissure_lies_between_two_hemispheres():
    phantom = make_phantom(0, age=70, **CLEAN | {"shape": (41, 48, 40)})
    top = phantom.labels.shape[2] * 3 // 4
    profile = phantom.data[:, 20:30, top].mean(axis=1)
    assert profile[20] < 0.7 * profile[17]
    assert profile[20] < 0.7 * profile[23]


def test_sides_are_alike_and_not_the_same(brain):
    overlap = np.mean(brain.mask == brain.mask[::-1])
    assert 0.97 < overlap < 1
    assert np.corrcoef(brain.data.ravel(), brain.data[::-1].ravel())[0, 1] < 0.97


def test_same_brain_at_another_voxel_size(brain):
    coarse = make_phantom(3, age=50, sex="F", noise=0, shape=(20, 24, 20), voxel_size=8)
    blocks = brain.data.reshape(20, 2, 24, 2, 20, 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(coarse.data.ravel(), blocks.ravel())[0, 1] > 0.95
    assert coarse.mask.sum() * 8 == pytest.approx(brain.mask.sum(), rel=0.05)


def test_anisotropic_voxels_hold_the_same_brain(brain):
    options = {"shape": (40, 24, 40), "voxel_size": (4.0, 8.0, 4.0), "noise": 0}
    other = make_phantom(3, age=50, sex="F", **options)
    blocks = brain.data.reshape(40, 24, 2, 40).mean(axis=2)
    assert np.corrcoef(other.data.ravel(), blocks.ravel())[0, 1] > 0.97
    assert other.mask.sum() * 2 == pytest.approx(brain.mask.sum(), rel=0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_age_opens_ventricles_and_shrinks_the_brain(seed):
    people = [make_phantom(seed, age=age, sex="M", **CLEAN) for age in (20, 50, 80)]
    points = world_points(people[0].mask.shape, people[0].affine)
    x, y, z = np.moveaxis(points, -1, 0)
    deep = (4 < abs(x)) & (abs(x) < 24) & (-45 < y) & (y < 32) & (2 < z) & (z < 26)
    fluid = [np.sum(p.data[deep] < 0.4) for p in people]
    volumes = [p.mask.sum() for p in people]
    assert 1.5 * fluid[0] < fluid[1] < fluid[2] / 1.5
    assert volumes[0] > volumes[1] > volumes[2]


def test_edges_are_mixed_and_more_so_in_large_voxels(brain):
    coarse = make_phantom(3, age=50, sex="F", noise=0, shape=(20, 24, 20), voxel_size=8)
    pure = []
    for phantom in (brain, coarse):
        distance = [abs(phantom.data[phantom.mask] - t) for t in TISSUES.values()]
        pure.append(np.mean(np.min(distance, axis=0) < 1e-3))
    assert 0.08 < pure[1] < pure[0] < 0.3


def test_male_brains_are_larger_by_a_tenth():
    female, male = (make_phantom(4, age=40, sex=s, **CLEAN).mask.sum() for s in "FM")
    assert 1.07 < male / female < 1.15


def test_noise_and_bias_are_as_requested(brain):
    noisy = make_phantom(3, age=50, sex="F", **CLEAN | {"noise": 0.05})
    biased = make_phantom(3, age=50, sex="F", bias=0.2, **CLEAN)
    inside = brain.labels == LABELS["grey"]
    assert np.std((noisy.data - brain.data)[inside]) == pytest.approx(0.05, rel=0.05)
    ratio = biased.data[inside] / brain.data[inside]
    assert 0.05 < np.ptp(ratio) <= 0.4
    assert np.array_equal(biased.mask, brain.mask)
    extreme = make_phantom(3, age=50, sex="F", bias=0.5, **CLEAN | {"noise": 0.3})
    assert extreme.data.max() == 1
    assert np.array_equal(extreme.data > 0, brain.mask)


@pytest.mark.parametrize(
    "bad", [{"sex": "x"}, {"shape": (4, 4)}, {"voxel_size": 0}, {"voxel_size": (1, 2)}]
)
def test_bad_requests_are_refused(bad):
    with pytest.raises(InputError, match=str(next(iter(bad)))):
        make_phantom(0, **bad)


# ------------------------------------------------------------------------- tumours


def diameter(mask, voxel_size=4.0):
    return (6 / np.pi * mask.sum() * voxel_size**3) ** (1 / 3)


def put(brain, **options):
    return simulate_tumor(brain.data, brain.mask, affine=brain.affine, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("location", LOCATIONS)
def test_tumor_lies_where_it_was_requested(brain, kind, location):
    before = brain.data.copy()
    data, tumor = put(brain, kind=kind, location=location, size_mm=30.0)
    assert np.array_equal(brain.data, before)
    assert data.dtype == np.float32
    assert np.all(data[~brain.mask] == 0)
    assert 0 < data[brain.mask].min() <= data.max() <= 1
    assert np.all(brain.mask[tumor])
    x, y, z = (brain.affine @ [*np.argwhere(tumor).mean(axis=0), 1])[:3]
    assert (x < 0) == location.endswith("left")
    lobe = location.split("-")[0]
    if lobe == "frontal":
        assert y > 10
    if lobe == "occipital":
        assert y < -60
    if lobe == "cerebellar":
        assert z < -20


@pytest.mark.parametrize("kind", ["glioblastoma", "low-grade"])
@pytest.mark.parametrize("size", [25.0, 50.0])
def test_tumor_has_the_size_requested(brain, kind, size):
    sizes = [
        diameter(
            put(brain, kind=kind, location="central-left", size_mm=size, seed=s)[1]
        )
        for s in range(4)
    ]
    assert np.mean(sizes) == pytest.approx(size, rel=0.12)


def test_glioblastoma_has_a_rim_around_a_core_and_oedema_around_both(brain):
    data, tumor = put(brain, kind="glioblastoma", location="central-right", size_mm=45)
    points = world_points(data.shape, brain.affine)
    away = np.linalg.norm(points - points[tumor].mean(axis=0), axis=-1)
    core, rim = data[away < 8], data[tumor & (away > 16)]
    assert core.mean() < 0.35 * rim.mean()
    assert np.quantile(rim, 0.9) > np.quantile(brain.data[brain.mask], 0.98)
    halo = brain.mask & ~tumor & (away > 26) & (away < 31)
    assert data[halo].mean() < brain.data[halo].mean() - 0.05


def test_meningioma_is_bright_even_and_at_the_edge(brain):
    data, tumor = put(brain, kind="meningioma", location="central-left", size_mm=40)
    inner = tumor.copy()
    for axis in range(3):
        inner &= np.roll(tumor, 1, axis) & np.roll(tumor, -1, axis)
    assert data[inner].mean() > np.quantile(brain.data[brain.mask], 0.9)
    assert data[inner].std() < 0.05
    beside = np.roll(tumor, -1, 0) & ~brain.mask
    assert beside.any()


def test_low_grade_is_dark_and_moves_nothing(brain):
    data, tumor = put(brain, kind="low-grade", location="frontal-right", size_mm=40)
    change = data - brain.data
    white = tumor & (brain.labels == LABELS["white"])
    assert change[white].mean() < -0.15
    assert np.array_equal(data[::-1][tumor], brain.data[::-1][tumor])  # other side


def test_tumor_pushes_what_lies_beside_it(brain):
    data, tumor = put(brain, kind="meningioma", location="temporal-left", size_mm=50)
    points = world_points(data.shape, brain.affine)
    away = np.linalg.norm(points - points[tumor].mean(axis=0), axis=-1)
    beside, far = (away > 28) & (away < 36), away > 90
    assert np.mean(np.abs(data - brain.data)[beside & brain.mask]) > 0.03
    assert np.mean(np.abs(data - brain.data)[far & brain.mask]) < 0.01


def test_orientation_is_read_from_the_affine(brain):
    options = {"kind": "glioblastoma", "location": "temporal-right", "seed": 5}
    data, tumor = put(brain, **options)
    turn = np.array([[0, 1, 0, 0], [-1, 0, 0, 47], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    turned = [np.flip(np.swapaxes(a, 0, 1), 0) for a in (brain.data, brain.mask)]
    other, other_tumor = simulate_tumor(*turned, affine=brain.affine @ turn, **options)
    assert np.array_equal(np.flip(np.swapaxes(tumor, 0, 1), 0), other_tumor)
    assert np.allclose(np.flip(np.swapaxes(data, 0, 1), 0), other, atol=1e-4)


def test_phantom_with_a_tumor_is_the_same_brain_with_labels(brain):
    tumor = {"kind": "glioblastoma", "location": "occipital-left", "size_mm": 30.0}
    sick = make_phantom(3, age=50, sex="F", tumor=tumor, **CLEAN)
    assert sick.covariates == brain.covariates | {
        "tumor": "glioblastoma",
        "location": "occipital-left",
        "size_mm": 30.0,
    }
    assert diameter(sick.labels == LABELS["tumor"]) == pytest.approx(30, rel=0.2)
    assert sick.labels.dtype == np.uint8
    assert np.array_equal(sick.mask, brain.mask)
    front = world_points(brain.mask.shape, brain.affine)[..., 1] > 30
    assert np.allclose(sick.data[front], brain.data[front], atol=0.05)


def test_tumor_of_a_phantom_is_drawn_when_not_given():
    drawn = [
        make_phantom(s, tumor={}, shape=(20, 24, 20), voxel_size=8) for s in (1, 2)
    ]
    for name in ("location", "size_mm"):
        assert drawn[0].covariates[name] != drawn[1].covariates[name]
    for phantom in drawn:
        assert phantom.covariates["tumor"] in KINDS
        assert phantom.covariates["location"] in LOCATIONS
        assert np.any(phantom.labels == LABELS["tumor"])


@pytest.mark.parametrize(
    "bad, word",
    [
        ({"kind": "wart"}, "glioblastoma"),
        ({"location": "frontal"}, "frontal-left"),
        ({"size_mm": 0.0}, "more than 0"),
        ({"size_mm": np.nan}, "more than 0"),
        ({"mask": np.zeros((40, 48, 40), bool)}, "not empty"),
        ({"mask": np.ones((4, 4, 4), bool)}, "of its shape"),
    ],
)
def test_bad_tumors_are_refused(brain, bad, word):
    options = {"data": brain.data, "mask": brain.mask, "affine": brain.affine} | bad
    with pytest.raises(InputError, match=word):
        simulate_tumor(**options)
