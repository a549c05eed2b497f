"""Simulated tumours, put into a phantom or into a prepared T1 image of a brain.

The appearance is that after contrast agent: an enhancing rim, necrosis, oedema in the
white matter, displaced tissue. It is for tests, examples and conditions on tumours
where no patients' images can be shown, without pathological accuracy.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.phantom.shapes import (
    dot,
    draw_waves,
    length,
    random_field,
    world_points,
)
from dipy_synth.utils.random import random_stream

#: The meaning of the values of ``Phantom.labels``.
LABELS = {"background": 0, "csf": 1, "grey": 2, "white": 3, "tumor": 4}

# Where a lobe of the right side lies in the brain's bounding box, as fractions from
# left to right, back to front, bottom to top. The left side mirrors the first.
_LOBES = {
    "frontal": (0.70, 0.80, 0.62),
    "parietal": (0.70, 0.34, 0.80),
    "temporal": (0.79, 0.54, 0.40),
    "occipital": (0.66, 0.13, 0.52),
    "central": (0.66, 0.56, 0.56),
    "cerebellar": (0.66, 0.24, 0.20),
}
#: Names of the locations that `simulate_tumor` knows.
LOCATIONS = tuple(f"{lobe}-{side}" for lobe in _LOBES for side in ("left", "right"))


def simulate_tumor(
    data,
    mask,
    affine,
    *,
    kind="glioblastoma",
    location="frontal-left",
    size_mm=35.0,
    seed=0,
    labels=None,
):
    """Simulate a tumour, as seen after contrast agent, in a T1 image of a brain.

    Tissue around it is displaced, except by a low-grade tumour.

    Parameters
    ----------
    data : ndarray of shape (X, Y, Z), float
        Intensity in [0, 1]: a phantom or a prepared brain.
    mask : ndarray of shape (X, Y, Z), bool
        The brain.
    affine : ndarray of shape (4, 4)
        Voxel to world in mm, RAS.
    kind : {"glioblastoma", "meningioma", "low-grade"}
        Ring-enhancing with necrosis and oedema; bright, homogeneous and at the edge
        of the brain; dark, diffuse and without enhancement.
    location : str
        One of `LOCATIONS`.
    size_mm : float
        Diameter in mm, without oedema.
    seed : int
        Random seed of shape, texture and a small shift of the location.
    labels : ndarray of shape (X, Y, Z), uint8, optional
        Tissues as in `LABELS`. Oedema spreads in voxels with the intensity of white
        matter, and in those labelled so.

    Returns
    -------
    data : ndarray of shape (X, Y, Z), float32
        The image with the tumour; the input is not changed.
    tumor_mask : ndarray of shape (X, Y, Z), bool
        The tumour, without oedema.

    Raises
    ------
    InputError
        For an unknown kind or location, a size that is not positive, an empty mask,
        or a tumour too small to fill a voxel.
    """
    if labels is None:
        labels = np.zeros(np.shape(data), np.uint8)
    grown = grow_tumor(data, mask, labels, affine, kind, location, size_mm, seed)
    return grown[:2]


def grow_tumor(data, mask, labels, affine, kind, location, size_mm, seed):
    """Simulate as `simulate_tumor`, and return the labels, too, with the tumour."""
    data, mask = np.asarray(data, np.float32), np.asarray(mask, bool)
    _check(data, mask, kind, location, size_mm)
    paint, push, rough = _KINDS[kind]
    rng, radius = random_stream("phantom: tumor", seed=seed), size_mm / 2
    points = world_points(data.shape, affine)
    offset = points - _place(points, mask, location, rng, kind, radius)
    lumps = random_field(draw_waves(rng, 12, 2.2 * radius), offset)
    depth = radius * (1 + rough * lumps) - length(offset)
    tumor = mask & (depth > 0)
    if not tumor.any():
        raise InputError(f"tumour: {size_mm} mm at {location} fills no voxel")
    sources = _sources(mask, affine, offset, radius, push)
    labels = _nearest(labels, mask, sources)
    white = labels == LABELS["white"]
    scene = _scene(_pull(data, mask, sources), depth, radius, white, data[mask])
    texture = partial(_texture, rng, offset)
    image = np.where(mask, np.clip(paint(scene, texture), 1e-3, 1), 0)
    return image.astype("f4"), tumor, np.where(tumor, LABELS["tumor"], labels)


def _check(data, mask, kind, location, size_mm):
    if kind not in _KINDS:
        raise InputError(f"tumour: kind {kind!r}; expected one of {', '.join(_KINDS)}")
    if location not in LOCATIONS:
        known = ", ".join(LOCATIONS)
        raise InputError(f"tumour: location {location!r}; expected one of {known}")
    if not size_mm > 0:
        raise InputError(f"tumour: size {size_mm} mm; expected more than 0")
    if data.ndim != 3 or mask.shape != data.shape or not mask.any():
        raise InputError(
            f"tumour: image {data.shape} and mask {mask.shape} with {mask.sum()} "
            "voxels; expected a 3D image and a mask of its shape that is not empty"
        )


def _place(points, mask, location, rng, kind, radius):
    """Draw the position of the tumour's centre, mm; a meningioma's is near the edge."""
    inside = points[mask]
    low, high = inside.min(axis=0), inside.max(axis=0)
    lobe, side = location.rsplit("-", 1)
    fraction = np.array(_LOBES[lobe]) + rng.uniform(-0.02, 0.02, 3)
    if side == "left":
        fraction[0] = 1 - fraction[0]
    aim = low + fraction * (high - low)
    if kind == "meningioma":
        aim = _to_edge(aim, inside, radius)
    return inside[np.argmin(np.sum((inside - aim) ** 2, axis=1))]


def _to_edge(aim, inside, radius):
    """Move a point from the middle of the brain to its edge, less half a radius."""
    ray = aim - inside.mean(axis=0)
    ray /= np.linalg.norm(ray)
    reach = dot(inside - aim, ray)
    aside = length(inside - aim - reach[:, None] * ray)
    near = aside < 0.3 * radius + 4
    return aim + ray * (reach[near].max(initial=0) - 0.6 * radius)


def _sources(mask, affine, offset, radius, strength):
    """Compute the source position of each voxel's tissue, which is displaced outwards.

    The displacement decreases with the distance and towards the edge of the brain,
    which the skull holds.
    """
    away = length(offset)
    fade = np.exp(-np.maximum(away - radius, 0) / (0.8 * radius))
    matrix = np.asarray(affine, float)[:3, :3]
    reach = round(10 / float(np.mean(np.linalg.norm(matrix, axis=0))))
    far = np.minimum(strength * radius * fade * _inwardness(mask, reach), away)
    shift = -offset * (far / np.maximum(away, 1e-3))[..., None]
    steps = [dot(shift, row) for row in np.linalg.inv(matrix)]
    return np.stack(np.indices(mask.shape) + np.stack(steps), axis=-1)


def _nearest(labels, mask, sources):
    """Displace labels; keep those whose source is outside the brain."""
    index = np.clip(np.rint(sources).astype(int), 0, np.array(mask.shape) - 1)
    moved = labels[tuple(np.moveaxis(index, -1, 0))]
    return np.where(mask & (moved > 0), moved, labels)


def _pull(data, mask, sources):
    """Displace intensities, without those outside the brain."""
    weight = _interpolate(mask.astype(np.float32), sources)
    moved = _interpolate(np.where(mask, data, 0), sources) / np.maximum(weight, 0.5)
    return np.where(weight > 0.5, moved, data)


def _inwardness(mask, reach):
    """Compute a ramp from 0 at the edge of the mask to 1 at `reach` voxels inside."""
    inner = np.pad(mask, 1)
    total = inner.astype(np.float32)
    for _ in range(reach):
        for axis in range(3):
            inner = inner & np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
        total += inner
    return total[1:-1, 1:-1, 1:-1] / (reach + 1)


def _interpolate(data, index):
    """Interpolate linearly at voxel positions, shape (X, Y, Z, 3)."""
    top = np.array(data.shape) - 1
    index = np.clip(index, 0, top)
    corner = np.minimum(index.astype(int), np.maximum(top - 1, 0))
    part = index - corner
    total = np.zeros(data.shape, np.float32)
    for step in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(step, part, 1 - part), axis=-1)
        near = np.minimum(corner + step, top)
        total += weight * data[tuple(np.moveaxis(near, -1, 0))]
    return total


@dataclass(frozen=True)
class _Scene:
    """The image, the depth in the tumour (mm) and intensity levels."""

    image: np.ndarray
    depth: np.ndarray
    radius: float
    white: np.ndarray
    dark: float
    grey: float
    bright: float


def _scene(image, depth, radius, white, inside):
    dark, grey, light, bright = np.quantile(inside, (0.04, 0.4, 0.85, 0.99))
    # Coarse or clean images may lack pure fluid and vessels: use the contrast.
    dark = max(min(dark, grey - 1.2 * (light - grey)), 0.05)
    bright = min(max(bright, light + 0.4 * (light - grey)), 1.0)
    guess = np.clip((image - grey) / (light - grey + 1e-6), 0, 1)
    return _Scene(image, depth, radius, np.maximum(guess, white), dark, grey, bright)


def _texture(rng, offset, wavelength):
    return random_field(draw_waves(rng, 12, wavelength), offset)


def _cover(depth, softness):
    """Compute the fraction below a surface whose edge is `softness` mm wide."""
    part = np.clip(depth / softness + 0.5, 0, 1)
    return part * part * (3 - 2 * part)


def _blend(image, value, cover):
    return image + (value - image) * cover


def _glioblastoma(scene, texture):
    radius, uneven = scene.radius, texture(0.9 * scene.radius)
    reach = 0.55 * radius * (1 + 0.5 * texture(1.6 * radius))
    wet = _cover(scene.depth + reach, 0.5 * radius) * scene.white
    image = _blend(scene.image, 0.25 * scene.dark + 0.75 * scene.grey, 0.8 * wet)
    rim = np.clip(scene.bright * (1.0 + 0.07 * uneven), 0, 1)
    image = _blend(image, rim, _cover(scene.depth, 3.0))
    wall = np.maximum(0.22 * radius * (1 + 0.45 * uneven), 1.5)
    necrosis = scene.dark * 1.1 + 0.04 * texture(0.7 * radius)
    return _blend(image, necrosis, _cover(scene.depth - wall, 3.0))


def _meningioma(scene, texture):
    cleft = _cover(scene.depth + 1.5, 2.0)
    image = _blend(scene.image, scene.dark, 0.6 * cleft)
    value = scene.bright * (0.93 + 0.02 * texture(0.6 * scene.radius))
    return _blend(image, value, _cover(scene.depth, 2.0))


def _low_grade(scene, texture):
    cover = _cover(scene.depth, 0.6 * scene.radius)
    value = 0.4 * scene.dark + 0.6 * scene.grey + 0.25 * (scene.image - scene.grey)
    value = value + 0.03 * texture(0.5 * scene.radius)
    return _blend(scene.image, value, 0.9 * cover)


# Function of a kind, its displacement (of the radius), its irregularity.
_KINDS = {
    "glioblastoma": (_glioblastoma, 0.35, 0.13),
    "meningioma": (_meningioma, 0.45, 0.05),
    "low-grade": (_low_grade, 0.0, 0.16),
}
#: Names of the kinds that `simulate_tumor` knows.
KINDS = tuple(_KINDS)
