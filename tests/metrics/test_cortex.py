"""Metrics of power, intensity and texture rank planted failures; blotches are found."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dipy_synth.errors import InputError
from dipy_synth.metrics import classifier, histograms, spectrum, texture
from dipy_synth.metrics.comparison import noise_like
from dipy_synth.metrics.description import describe, describe_volume
from dipy_synth.metrics.regions import brain_mask, cut_brain
from dipy_synth.phantom import make_phantom

SIZE = (4.0,) * 3


def of(function, sets, cohort, kind):
    """Compute a metric of one planted set beside real phantoms."""
    return function(getattr(sets["real"], kind), getattr(sets[cohort], kind))


def by_texture(function, sets, cohort):
    rows = (classifier.texture_features(sets[x].texture) for x in ("real", cohort))
    return function(*rows)


def blurred(volume, sigma):
    return np.where(volume > 0, gaussian_filter(volume, sigma), 0)


def grainy(volume, seed, sd=0.1):
    noise = np.random.default_rng(seed).normal(0, sd, volume.shape)
    return np.where(volume > 0, np.clip(volume + noise, 1e-3, 1), 0)


@pytest.fixture(scope="module")
def phantoms():
    return [make_phantom(seed, voxel_size=SIZE).data for seed in range(24)]


@pytest.fixture(scope="module")
def sets(phantoms):
    """Describe real phantoms, others, and what is planted in those others."""
    real, other = phantoms[:12], phantoms[12:]
    made = {
        "real": real,
        "other": other,
        "smoothed": [blurred(v, 0.4) for v in other],  # as a decoder leaves them
        "blurred": [blurred(v, 0.7) for v in other],
        "grainy": [grainy(v, i) for i, v in enumerate(other)],
        "blotched": [spectrum.shuffle_phases(v, seed=i) for i, v in enumerate(other)],
        "noise": noise_like(np.stack(other)),
    }
    return {name: describe(cohort, voxel_size=SIZE) for name, cohort in made.items()}


@pytest.mark.parametrize(
    ("function", "kind", "planted"),
    [
        (spectrum.power_distance, "power", ("blurred",)),
        (histograms.histogram_distance, "histogram", ("blotched",)),
        (texture.texture_distance, "texture", ("blurred", "grainy", "blotched")),
        (classifier.block_auc, "texture", ("blurred", "grainy", "blotched")),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_metrics_rank_real_smoothed_worse_noise(sets, function, kind, planted):
    other, noise = (of(function, sets, x, kind) for x in ("other", "noise"))
    smoothed = of(function, sets, "smoothed", kind)
    assert smoothed < noise
    if kind != "histogram":  # a mild blur hardly moves intensities
        assert other < smoothed
    for name in planted:
        assert max(other, smoothed) < of(function, sets, name, kind) < noise, name


def test_a_classifier_detects_planted_failures_and_not_other_real_ones(sets):
    assert by_texture(classifier.classifier_auc, sets, "other") < 0.75
    for name in ("smoothed", "blurred", "grainy", "blotched", "noise"):
        assert by_texture(classifier.classifier_auc, sets, name) > 0.85, name


def test_blotches_have_the_power_of_real_brains_and_not_their_texture(sets):
    other, blotched = sets["other"], sets["blotched"]
    ratio = spectrum.power_ratio(other.power, blotched.power)
    assert np.all(np.abs(np.log(ratio)) < np.log(1.4))
    floor = of(texture.texture_distance, sets, "other", "texture")
    assert of(texture.texture_distance, sets, "blotched", "texture") > 5 * floor


def test_more_noise_is_more_power_in_the_finest_band(sets):
    ratio = of(spectrum.power_ratio, sets, "grainy", "power")
    assert ratio[-1] > 1.3 and ratio[-1] == ratio.max()
    ratio = of(spectrum.power_ratio, sets, "blurred", "power")
    assert ratio[-1] < 0.5 and np.all(np.diff(ratio[:3]) < 0)


# --- the brain ----------------------------------------------------------------------


def test_mask_is_the_filled_brain_and_blotches_end_with_it(phantoms):
    phantom = make_phantom(3, voxel_size=SIZE)
    mask = brain_mask(phantom.data)
    assert np.mean(mask != phantom.mask) < 0.02
    hollow = phantom.data.copy()
    hollow[18:22, 20:26, 18:22] = 0  # ventricles as dark as the background
    assert brain_mask(hollow)[18:22, 20:26, 18:22].all()
    island = phantom.data.copy()
    island[:2, :2, :2] = 0.5
    assert not brain_mask(island)[:2, :2, :2].any()
    changed = spectrum.shuffle_phases(phantom.data, seed=1)
    assert np.array_equal(changed > 0, phantom.data > 0)
    again = spectrum.shuffle_phases(phantom.data, seed=1)
    assert np.array_equal(changed, again) and changed.max() <= 1


def test_cortex_is_the_outer_shell_in_mm():
    volume = np.zeros((40, 50, 30), "float32")
    volume[4:-4, 5:-5, 3:-3] = 0.5
    brain = cut_brain(volume, voxel_size=(2.0, 2.0, 4.0))
    assert brain.mask.sum() == 32 * 40 * 24
    assert np.array_equal(brain.cortex | brain.deep, brain.mask)
    # Outwards of 16 mm: 8 voxels of 2 mm, 4 of 4 mm.
    assert brain.deep.sum() == 16 * 24 * 16
    assert np.allclose(brain.values, 0.5, atol=1e-3)  # beyond the outline, too


def test_an_empty_volume_has_a_description_without_texture(sets):
    row = describe_volume(np.zeros((20, 24, 20)), voxel_size=SIZE)
    assert not row.power.any() and row.histogram[0] == 1 and not row.texture.any()
    rows = np.stack([row.texture] * 4)
    assert np.isfinite(texture.texture_distance(sets["real"].texture, rows))
    assert np.isfinite(texture.texture_distance(rows, rows))
    assert np.isfinite(classifier.block_auc(sets["real"].texture, rows))
    with pytest.raises(InputError, match=r"expected \(I, J, K\)"):
        describe_volume(np.zeros((20, 20)), voxel_size=SIZE)


def test_volumes_are_described_one_by_one(phantoms, sets):
    lazy = (volume for volume in phantoms[:2])
    found = describe(lazy, voxel_size=SIZE)
    assert np.array_equal(found.texture, sets["real"].texture[:2])
    assert found.power.shape == (2, 4) and found.histogram.shape == (2, 256)


# --- power --------------------------------------------------------------------------


def wave(frequency, axis=0, shape=(40, 40, 40)):
    """A cosine about 0.5, its frequency as a part of Nyquist's."""
    places = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)[axis]
    return np.broadcast_to(0.5 + 0.2 * np.cos(np.pi * frequency * places), shape)


@pytest.mark.parametrize(
    ("frequency", "band"), [(0.15, 0), (0.4, 1), (0.6, 2), (0.85, 3)]
)
@pytest.mark.parametrize("axis", [0, 2])
def test_power_of_a_wave_is_half_its_squared_amplitude_in_its_band(
    frequency, band, axis
):
    brain = cut_brain(wave(frequency, axis), voxel_size=(2,) * 3)
    power = spectrum.band_power(brain)
    assert power[band] == pytest.approx(0.2**2 / 2, rel=0.1)
    far = np.abs(np.arange(4) - band) > 1
    assert power[~far].sum() == pytest.approx(0.2**2 / 2, rel=0.06)
    assert power[far].sum() < 0.01 * power[band]


def test_all_bands_together_are_the_windowed_variance(phantoms):
    brain = cut_brain(phantoms[0], voxel_size=SIZE)
    window = spectrum.outline_window(brain)
    mean = np.average(brain.values, weights=window)
    variance = np.average((brain.values - mean) ** 2, weights=window**2)
    (found,) = spectrum.band_power(brain, bands=((-1, 2),))
    assert found == pytest.approx(variance, rel=1e-4)


def test_the_outline_adds_hardly_any_power():
    phantom = make_phantom(0, shape=(54, 64, 54), voxel_size=(3.0,) * 3)
    volumes = (np.where(phantom.data > 0, 0.6, 0), phantom.data)
    flat, full = (
        spectrum.band_power(cut_brain(v, voxel_size=(3,) * 3)) for v in volumes
    )
    assert np.all(flat < 0.1 * full)


# --- intensities --------------------------------------------------------------------


def test_wasserstein_of_histograms_is_how_far_intensities_move():
    rng = np.random.default_rng(0)
    values, other = rng.uniform(0, 0.5, 5000), rng.uniform(0.2, 0.9, 5000)
    sides = [np.histogram(x, 256, (0, 1))[0] / 5000 for x in (values, other)]
    exact = np.mean(np.abs(np.sort(values) - np.sort(other)))
    assert histograms.wasserstein(*sides) == pytest.approx(exact, abs=1 / 256)
    moved = np.roll(sides[0], 32)
    assert histograms.wasserstein(sides[0], moved) == pytest.approx(32 / 256)
    with pytest.raises(InputError, match="256"):
        histograms.histogram_distance([sides[0]], [sides[0][:10]])


# --- texture ------------------------------------------------------------------------


def moments(blocks):
    """Moments of a volume whose cortex and deep parts have these blocks (b, d)."""
    return np.tile(texture.block_moments(blocks), 2)


def cohort(n, *, shift=0.0, scale=1.0, seed=0, blocks=400):
    d = len(texture.FEATURES)
    rng = np.random.default_rng(seed)
    draw = rng.normal(shift, scale, (n, blocks, d))
    return np.stack([moments(x) for x in draw])


def test_texture_distance_of_gaussian_features_is_that_of_the_formula():
    d = len(texture.FEATURES)
    real = cohort(30)
    assert texture.texture_distance(real, real) == pytest.approx(0, abs=1e-9)
    shifted = texture.texture_distance(real, cohort(30, shift=0.5, seed=1))
    assert shifted == pytest.approx(d * 0.25, rel=0.05)
    wider = texture.texture_distance(real, cohort(30, scale=2, seed=2), region="deep")
    assert wider == pytest.approx(d, rel=0.05)
    with pytest.raises(InputError, match="region 'skull'"):
        texture.texture_distance(real, real, region="skull")


def test_moments_are_those_of_all_blocks(phantoms):
    brain = cut_brain(phantoms[0], voxel_size=SIZE)
    blocks = texture.block_features(brain)
    row = texture.texture_moments(brain)[np.newaxis]
    for region in texture.REGIONS:
        assert len(blocks[region]) > 20
        mean, covariance = texture.pooled_moments(row, region)
        assert np.allclose(mean, blocks[region].mean(axis=0))
        assert np.allclose(covariance, np.cov(blocks[region].T, bias=True), atol=1e-6)


def test_shrinkage_keeps_the_trace_and_fades_with_n():
    rng = np.random.default_rng(0)
    true = np.diag(np.linspace(0.5, 2, 20))
    x = rng.normal(size=(25, 20)) @ np.sqrt(true)
    found = texture.shrink(np.cov(x.T), 25)
    assert np.trace(found) == pytest.approx(np.trace(np.cov(x.T)))
    assert np.linalg.norm(found - true) < 0.8 * np.linalg.norm(np.cov(x.T) - true)
    assert np.allclose(texture.shrink(true, 10**9), true, atol=1e-6)
    assert np.array_equal(texture.shrink(np.eye(3), 5), np.eye(3))


def sheets(period):
    places = np.arange(32) * 2 * np.pi / period
    return np.broadcast_to(0.5 + 0.3 * np.sin(places)[:, None, None], (32,) * 3)


def test_anisotropy_separates_folds_from_blotches_of_one_period():
    noise = np.random.default_rng(0).normal(size=(32,) * 3)
    blotches = gaussian_filter(noise, 1.5)
    folds, other = sheets(8.0), 0.5 + 0.2 * blotches / blotches.std()
    values = [texture.anisotropy(x)[8:-8, 8:-8, 8:-8].mean() for x in (folds, other)]
    assert values[0] == pytest.approx(1, abs=0.01) and values[1] < 0.6


def test_cooccurrence_of_a_checkerboard():
    board = np.indices((32,) * 3).sum(axis=0) % 2 * 0.5 + 0.25
    blocks = texture.block_features(cut_brain(board, voxel_size=(2,) * 3))["deep"]
    row = dict(zip(texture.FEATURES, blocks[0]))
    assert row["glcm_contrast_1"] == pytest.approx(np.log(8**2 + 0.01))
    assert row["glcm_contrast_2"] == pytest.approx(np.log(0.01))
    assert row["glcm_correlation_1"] == pytest.approx(-1, abs=0.01)
    assert row["glcm_correlation_2"] == pytest.approx(1)
    assert row["glcm_entropy_1"] == pytest.approx(np.log(2))
    assert row["mean"] == pytest.approx(0.5) and row["skewness"] == pytest.approx(0)


def test_cooccurrence_is_that_of_all_pairs():
    levels = np.random.default_rng(0).integers(4, 9, (10, 10, 10)).cumsum(0) % 16
    labels = np.full(levels.shape, -1)
    labels[2:8, 2:8, 2:8] = 0
    joint = np.zeros((16, 16))
    for place in np.ndindex(6, 6, 6):
        for step in 2 * np.eye(3, dtype=int):
            if max(place + step) < 6:
                a, b = (levels[tuple(2 + np.array(p))] for p in (place, place + step))
                joint[a, b] += 1
                joint[b, a] += 1
    joint /= joint.sum()
    i, j = np.indices((16, 16))
    found = texture.cooccurrence(levels, labels, 1, 2)
    entropy = -np.sum(joint[joint > 0] * np.log(joint[joint > 0]))
    assert found[0] == pytest.approx(np.log(np.sum(joint * (i - j) ** 2) + 0.01))
    assert found[1] == pytest.approx(np.sum(joint / (1 + abs(i - j))))
    assert found[2] == pytest.approx(np.log(np.sum(joint**2)) / 2, abs=1e-3)
    assert found[3] == pytest.approx(entropy)
    mean = np.sum(i * joint)
    covariance = np.sum((i - mean) * (j - mean) * joint)
    variance = np.sum((i - mean) ** 2 * joint)
    assert found[4] == pytest.approx(covariance / variance, abs=1e-3)


# --- the classifier -----------------------------------------------------------------


def test_auc_of_gaussians_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
    b[:, 0] += 1.5
    found = classifier.classifier_auc(a, b)
    assert found == pytest.approx(0.856, abs=0.03)  # Phi(1.5 / sqrt(2))
    assert found == classifier.classifier_auc(a, b)
    assert found != classifier.classifier_auc(a, b, seed=1)
    found = classifier.block_auc(cohort(10), cohort(10, shift=0.2, seed=1))
    assert found == pytest.approx(0.760, abs=0.02)  # 25 features of 0.2: Phi(1/sqrt(2))


def test_auc_of_one_distribution_is_a_half():
    rng = np.random.default_rng(1)
    values = [
        classifier.classifier_auc(*rng.normal(size=(2, 14, 60)), seed=seed)
        for seed in range(40)
    ]
    assert np.mean(values) == pytest.approx(0.5, abs=0.04)


def test_scans_of_one_subject_share_a_fold():
    rng = np.random.default_rng(2)
    subjects, synthetic = np.repeat(np.arange(12), 4), rng.normal(size=(48, 80))
    real = rng.normal(size=(12, 80))[subjects]
    apart = classifier.classifier_auc(real, synthetic)
    together = classifier.classifier_auc(real, synthetic, subjects=subjects)
    assert apart > 0.8 and together < 0.65
    with pytest.raises(InputError, match="3 subjects of 48"):
        classifier.classifier_auc(real, synthetic, subjects=[1, 2, 3])
