"""Similarity of two images: PSNR, SSIM and MS-SSIM."""

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter, uniform_filter

from dipy_synth.data.arrays import as_volume
from dipy_synth.errors import InputError

SIGMA, RADIUS = 1.5, 5  # the window: a Gaussian of 11 taps, in voxels
STABILITY = (0.01, 0.03)  # K1 and K2
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # the finest scale first


def psnr(reference, image, *, mask=None, data_range=1.0):
    """Compute the peak signal-to-noise ratio.

    Parameters
    ----------
    reference, image : array, or nibabel image or its path, (*shape)
        Two images of one shape.
    mask : array of shape (*shape), bool, optional
        Voxels to compare; all by default. The mask of the brain is recommended, since
        an empty background raises the value.
    data_range : float, optional
        Difference between the largest and the smallest possible value.

    Returns
    -------
    float
        In dB; infinite for equal images.
    """
    reference, image = (as_volume(a).astype("float64") for a in (reference, image))
    if reference.shape != image.shape:
        raise InputError(
            f"images of shape {reference.shape} and {image.shape}: expected one shape"
        )
    difference = reference - image
    if mask is not None:
        difference = difference[as_volume(mask) > 0]
    error = np.mean(np.square(difference))
    return float(10 * np.log10(data_range**2 / error)) if error else float("inf")


def ssim(reference, image, *, mask=None, data_range=1.0):
    r"""Compute the structural similarity.

    With means :math:`\mu`, variances :math:`\sigma^2` and the covariance
    :math:`\sigma_{xy}` of two images under a Gaussian window (standard deviation 1.5
    voxels, 11 taps an axis, unit sum), at every voxel

    .. math::

        S = \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1} \cdot
            \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}

    (:footcite:p:`wang2004ssim`, eq. 13), where :math:`C_1 = (0.01 L)^2`,
    :math:`C_2 = (0.03 L)^2` and :math:`L` is the data range.

    Parameters
    ----------
    reference, image : array, or nibabel image or its path, (*shape)
        Two images of one shape, of rank 2 or 3.
    mask : array of shape (*shape), bool, optional
        Voxels over which the map S is averaged. Windows may reach out of the mask, and
        images are mirrored at their borders. Without a mask the mean is over
        the windows that lie in the image entirely.
    data_range : float, optional
        Difference between the largest and the smallest possible value.

    Returns
    -------
    float
        At most 1, for equal images.

    Raises
    ------
    InputError
        If the shapes differ, an axis is shorter than the window, or the mask is empty.

    References
    ----------
    .. footbibliography::
    """
    reference, image = _pair(reference, image)
    if mask is None:
        return float(_inner_mean(np.multiply(*_maps(reference, image, data_range))))
    box = _surroundings(mask, reference.shape)
    similarity = np.multiply(*_maps(reference[box], image[box], data_range))
    return float(similarity[np.asarray(mask, bool)[box]].mean())


def ms_ssim(reference, image, *, scales=5, weights=SCALE_WEIGHTS):
    r"""Compute the structural similarity over several scales.

    Scale 1 is the image itself; each next one is the mean over blocks of two voxels an
    axis. With the second factor :math:`C_j` of SSIM, see `ssim`, averaged over scale j,
    and the whole :math:`S_M` averaged over the coarsest one,

    .. math:: S_M^{w_M} \prod_{j=1}^{M-1} C_j^{w_j}

    (:footcite:p:`wang2003msssim`, eq. 7, with the luminance within :math:`S_M`).
    Negative averages count as 0.

    Parameters
    ----------
    reference, image : array, or nibabel image or its path, (*shape)
        Two images of one shape, of rank 2 or 3, in [0, 1].
    scales : int, optional
        M. Five scales need 176 voxels an axis, each one less half of that.
    weights : sequence of float, optional
        :math:`w_j`, the finest scale first; those published for five scales by
        default. The first M are used, divided by their sum.

    Returns
    -------
    float
        From 0 to 1; 1 for equal images.

    Raises
    ------
    InputError
        If the shapes differ, there are fewer weights than scales, or the coarsest scale
        has an axis shorter than the window.

    References
    ----------
    .. footbibliography::
    """
    reference, image = _pair(reference, image)
    _check_scales(reference.shape, scales, weights)
    shares = np.array(weights[:scales], "float64")
    factors = []
    for scale in range(scales):
        if scale:
            reference, image = _halved(reference), _halved(image)
        luminance, contrast = _maps(reference, image, 1.0)
        last = scale == scales - 1
        factors.append(_inner_mean(luminance * contrast if last else contrast))
    return float(np.prod(np.maximum(factors, 0) ** (shares / shares.sum())))


def _pair(reference, image):
    """Check that two images can be compared; return them in float64."""
    reference, image = (as_volume(a).astype("float64") for a in (reference, image))
    shape, window = reference.shape, 2 * RADIUS + 1
    if shape != image.shape or len(shape) not in (2, 3) or min(shape) < window:
        raise InputError(
            f"images of shape {shape} and {image.shape}: expected one shape of rank 2 "
            f"or 3, each axis at least as long as the window, {window}"
        )
    return reference, image


def _check_scales(shape, scales, weights):
    """Refuse more scales than there are weights, or than fit the image."""
    window = 2 * RADIUS + 1
    most = min(len(weights), int(np.log2(min(shape) // window)) + 1)
    if not 1 <= scales <= most:
        raise InputError(
            f"{scales} scales of an image of shape {shape}, {len(weights)} weights: "
            f"expected 1 to {most} scales, since the coarsest one must hold the window "
            f"of {window} voxels"
        )


def _maps(x, y, data_range):
    """Compute SSIM's two factors at every voxel: luminance and contrast-structure.

    Variances are those of the window's distribution: no correction for a sample.
    """
    c1, c2 = ((k * data_range) ** 2 for k in STABILITY)
    mx, my = _blurred(x), _blurred(y)
    sxx, syy = _blurred(x * x) - mx * mx, _blurred(y * y) - my * my
    sxy = _blurred(x * y) - mx * my
    luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    return luminance, (2 * sxy + c2) / (sxx + syy + c2)


def _blurred(image):
    return gaussian_filter(image, SIGMA, radius=RADIUS, mode="reflect")


def _inner_mean(values):
    """Average over the voxels whose window does not reach over the border."""
    return values[(slice(RADIUS, -RADIUS),) * values.ndim].mean()


def _halved(image):
    """Average blocks of two voxels an axis; incomplete blocks are dropped."""
    means = uniform_filter(image, 2)  # at index i, of the voxels i - 1 and i
    return means[tuple(slice(1, None, 2) for _ in image.shape)]


def _surroundings(mask, shape):
    """Compute the slices that hold a mask and all windows around its voxels."""
    mask = as_volume(mask) > 0
    if mask.shape != shape or not mask.any():
        raise InputError(
            f"a mask of shape {mask.shape} with {np.count_nonzero(mask)} voxels: "
            f"expected one of shape {shape}, not empty"
        )
    (box,) = find_objects(mask.astype("uint8"))
    return tuple(slice(max(edge.start - RADIUS, 0), edge.stop + RADIUS) for edge in box)
