"""Similarity and sharpness against closed forms."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dipy_synth.errors import InputError
from dipy_synth.metrics.sharpness import high_frequency_power, white_matter_detail
from dipy_synth.metrics.similarity import SCALE_WEIGHTS, ms_ssim, psnr, ssim

SHAPES = [(48, 52), (24, 20, 26)]


def images(shape, *, noise=0.1, seed=0):
    """Return a smooth image in [0, 1], and the same with noise."""
    rng = np.random.default_rng(seed)
    x = gaussian_filter(rng.random(shape), 2)
    x = (x - x.min()) / (x.max() - x.min())
    return x, np.clip(x + rng.normal(scale=noise, size=shape), 0, 1)


def test_psnr_of_a_constant_error():
    x = np.random.default_rng(0).random((4, 5, 6))
    assert psnr(x, x + 0.1) == pytest.approx(20)
    assert psnr(x, x + 0.1, data_range=10) == pytest.approx(40)
    assert psnr(x, x) == np.inf


def test_psnr_looks_inside_the_mask_only():
    x = np.zeros((4, 4))
    y, mask = x.copy(), np.zeros((4, 4), bool)
    mask[0] = True
    y[0] += 0.1
    y[1:] += 5
    assert psnr(x, y, mask=mask) == pytest.approx(20)


@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_of_constant_images_is_their_luminance(shape):
    x, y = np.full(shape, 0.5), np.full(shape, 0.3)
    expected = (2 * 0.5 * 0.3 + 1e-4) / (0.5**2 + 0.3**2 + 1e-4)
    assert ssim(x, y) == pytest.approx(expected)
    assert ssim(200 * x, 200 * y, data_range=200) == pytest.approx(expected)
    assert ssim(x, x) == pytest.approx(1)


@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_of_opposite_waves_is_their_structure(shape):
    """A wave of period 2 has mean 1/2 and variance 1/4 under any smooth window."""
    x = np.indices(shape).sum(axis=0) % 2.0
    c2 = 0.03**2
    expected = (-2 * 0.25 + c2) / (2 * 0.25 + c2)
    assert ssim(x, 1 - x) == pytest.approx(expected, abs=1e-3)
    mask = np.zeros(shape, bool)
    mask[(slice(8, 12),) * len(shape)] = True
    assert ssim(x, 1 - x, mask=mask) == pytest.approx(expected, abs=1e-3)
    assert ms_ssim(x, 1 - x, scales=1) == 0  # a negative mean counts as 0


@pytest.mark.parametrize("place", [(9, 30), (9, 12, 9), (1, 30), (1, 12, 9)])
def test_ssim_of_a_voxel_is_the_formula_of_its_window(place):
    x, y = images((20, 40, 20)[: len(place)])
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = taps
    for _ in place[1:]:
        weights = np.multiply.outer(weights, taps)
    weights /= weights.sum()
    box = tuple(slice(p, p + 11) for p in place)  # as padding moves places by 5
    a, b = (np.pad(image, 5, mode="symmetric")[box] for image in (x, y))
    mx, my = (weights * a).sum(), (weights * b).sum()
    sxx, syy = (weights * (a - mx) ** 2).sum(), (weights * (b - my) ** 2).sum()
    sxy = (weights * (a - mx) * (b - my)).sum()
    expected = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    expected *= (2 * sxy + 9e-4) / (sxx + syy + 9e-4)
    mask = np.zeros(x.shape, bool)
    mask[place] = True
    assert ssim(x, y, mask=mask) == pytest.approx(expected)


def test_ssim_sees_inside_the_mask_and_a_window_around_it_only():
    x, y = images((20, 40, 20))
    mask = np.zeros(x.shape, bool)
    mask[:, 12:20] = True
    changed = y.copy()
    changed[:, 26:] = 0  # 6 voxels from the mask: beyond the window's 5
    assert ssim(x, changed, mask=mask) == ssim(x, y, mask=mask)
    changed[:, 24] = 0
    assert ssim(x, changed, mask=mask) != ssim(x, y, mask=mask)


@pytest.mark.parametrize("shape", SHAPES)
def test_ms_ssim_of_one_scale_is_ssim_and_of_two_their_product(shape):
    x, y = images(shape)
    assert ms_ssim(x, y, scales=1) == pytest.approx(ssim(x, y))
    assert ms_ssim(x, x, scales=1) == pytest.approx(1)
    # an image of equal blocks: its second scale is the small image
    block = np.ones((2,) * len(shape))
    large_x, large_y = np.kron(x, block), np.kron(y, block)
    by_weight = [
        ms_ssim(large_x, large_y, scales=2, weights=w) for w in ((0, 1), (1, 0), (1, 3))
    ]
    assert by_weight[0] == pytest.approx(ssim(x, y))
    assert by_weight[2] == pytest.approx(by_weight[1] ** 0.25 * by_weight[0] ** 0.75)


def test_what_cannot_be_compared_is_refused():
    x = np.zeros((20, 20))
    for other in (np.zeros((20, 21)), np.zeros((20, 20, 20))):
        with pytest.raises(InputError, match="expected one shape"):
            ssim(x, other)
    with pytest.raises(InputError, match="the window, 11"):
        ssim(x[:10], x[:10])
    for mask in (np.zeros(x.shape, bool), np.ones((3, 3), bool)):
        with pytest.raises(InputError, match="mask"):
            ssim(x, x, mask=mask)
    large = np.zeros((175, 176))
    with pytest.raises(InputError, match="5 scales .* expected 1 to 4"):
        ms_ssim(large, large)
    assert ms_ssim(large, large, scales=4) == pytest.approx(1)
    with pytest.raises(InputError, match="1 weights: expected 1 to 1 scales"):
        ms_ssim(large, large, scales=2, weights=(1,))


@pytest.mark.parametrize("shape", SHAPES)
def test_psnr_and_ssim_agree_with_scikit_image(shape):
    skimage = pytest.importorskip("skimage.metrics")
    x, y = images(shape)
    mean, full = skimage.structural_similarity(
        x,
        y,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    mask = x > 0.5
    theirs = skimage.peak_signal_noise_ratio(x, y, data_range=1)
    assert psnr(x, y) == pytest.approx(theirs, abs=1e-4)
    assert ssim(x, y) == pytest.approx(mean, abs=1e-4)
    assert ssim(x, y, mask=mask) == pytest.approx(full[mask].mean(), abs=1e-4)


@pytest.mark.parametrize("shape", [(192, 183), (48, 44, 53)])
def test_both_agree_with_monai(shape):
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    x, y = images(shape)
    scales = 5 if len(shape) == 2 else 2
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    pair = [torch.tensor(a[None, None], dtype=torch.float32) for a in (y, x)]
    single = metrics.SSIMMetric(len(shape))(*pair).item()
    several = metrics.MultiScaleSSIMMetric(len(shape), weights=weights.tolist())(*pair)
    assert ssim(x, y) == pytest.approx(single, abs=1e-4)
    assert ms_ssim(x, y, scales=scales) == pytest.approx(several.item(), abs=1e-4)


@pytest.mark.parametrize(("turns", "expected"), [(2, 0.0), (7, 0.5)])
def test_power_of_a_wave_counts_above_the_cutoff_only(turns, expected):
    x = np.cos(2 * np.pi * turns * np.arange(16) / 16)
    image = np.tile(x, (16, 1))  # 7 of 8 possible turns is above half of Nyquist
    assert high_frequency_power(image) == pytest.approx(expected, abs=1e-12)


def test_blur_lowers_it_and_noise_raises_it():
    rng = np.random.default_rng(0)
    x = rng.random((16, 16, 16))
    power = high_frequency_power(x)
    assert high_frequency_power(gaussian_filter(x, 1)) < 0.1 * power
    assert high_frequency_power(x + rng.normal(0, 1, x.shape)) > 2 * power


def test_detail_of_white_matter_is_that_of_the_brightest_tenth_of_the_mean():
    rng = np.random.default_rng(0)
    mean = np.ones((20, 20, 20))
    mean[:2] = 2  # the brightest tenth
    noise = 1 + rng.normal(0, 0.1, mean.shape)
    assert white_matter_detail(noise, mean) == pytest.approx(0.6745, rel=0.05)
    noise[:6] = 1  # blurring brings noise into a layer, not to the other ones
    assert white_matter_detail(noise, 7 * mean) < 1e-3
    assert white_matter_detail(np.zeros_like(mean), mean) == 0
