"""Seeded T1 phantoms of brains.

A phantom is drawn from formulas in millimetres, not from an image: a seed defines
the same brain at every voxel size, up to partial volume. The cortex follows
the idea that sulci are the zero set of a smooth random function on the surface of
the brain, which is what buckling models of cortical folding give to first order
:footcite:p:`tallinen2016growth`. It is for tests and examples, without anatomical
accuracy.

References
----------
.. footbibliography::
"""

from dataclasses import dataclass, field
import math

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.phantom.shapes import (
    chain,
    draw_waves,
    ellipsoid,
    filled,
    join,
    length,
    random_field,
    sheet,
    world_points,
)
from dipy_synth.phantom.tumors import KINDS, LOCATIONS, grow_tumor
from dipy_synth.utils.random import check_seed

#: Intensity of each tissue, in [0, 1], without bias field and noise.
TISSUES = {"csf": 0.18, "grey": 0.58, "deep": 0.7, "white": 0.84}

# Ellipsoids as (centre, semi-axes) in mm, for the right side where there are two.
_CEREBRUM = ((0, -18, 14), (66, 86, 62))
_TEMPORAL = ((44, -14, -20), (22, 46, 24))
_CEREBELLUM = ((22, -62, -37), (32, 30, 23))
_VERMIS = ((0, -60, -35), (13, 26, 21))
_PONS = ((0, -27, -34), (17, 14, 15))
_NUCLEI = (
    ((11, -18, 7), (9, 15, 9)),  # thalamus
    ((25, 2, 3), (6, 17, 10)),  # putamen
    ((13, 14, 9), (5, 10, 10)),  # head of the caudate
)
# The lateral ventricle as a chain of points with a radius, in mm at 20 years.
_VENTRICLE = (
    ((9, 30, 2), 2.6),
    ((8, 14, 16), 3.4),
    ((10, -14, 24), 3.2),
    ((17, -38, 19), 4.2),
    ((25, -46, 6), 4.4),
    ((33, -26, -13), 1.6),
)
_OCCIPITAL_HORN = (((23, -46, 10), 3.6), ((23, -72, 6), 1.2))
_MIDLINE = (((0, 2, -2), 0.4), ((0, -22, 2), 0.9))  # third ventricle
_AQUEDUCT = (((0, -36, -10), 0.4), ((0, -43, -34), 2.4))  # fourth ventricle
_STEM = (((7, -18, -10), 8.0), ((2, -28, -24), 11.0), ((0, -40, -66), 7.0))


@dataclass(frozen=True)
class Phantom:
    """A simulated brain.

    Attributes
    ----------
    data : ndarray of shape (X, Y, Z), float32
        T1-like intensity in [0, 1]; exactly 0 outside `mask`.
    mask : ndarray of shape (X, Y, Z), bool
        The brain, fluid in the sulci included.
    labels : ndarray of shape (X, Y, Z), uint8
        The tissue that fills most of the voxel, see `LABELS`.
    affine : ndarray of shape (4, 4), float64
        Voxel to world in mm, RAS.
    covariates : dict
        ``age`` in years and ``sex`` ("F" or "M"); with a tumour also ``tumor``
        (its kind), ``location`` and ``size_mm``.
    """

    data: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    covariates: dict = field(default_factory=dict)


def make_phantom(
    seed,
    *,
    shape=(40, 48, 40),
    voxel_size=4.0,
    center=Grid.center,
    age=None,
    sex=None,
    tumor=None,
    bias=0.0,
    noise=0.02,
):
    """Simulate a skull-stripped T1 image.

    Parameters
    ----------
    seed : int
        Random seed.
    shape : tuple of int, shape (3,)
        Voxels on each axis (left-right, back-front, bottom-top).
    voxel_size : float or tuple of float, shape (3,)
        Edge of a voxel in mm. The brain is about 135 x 172 x 150 mm.
    center : tuple of float, shape (3,)
        World position of the middle of the field of view, in mm (RAS); by default
        that of `Grid`, which suits MNI152.
    age : float, optional
        Years; drawn from 20-80 by default. Ventricles and sulci widen, the cortex
        thins and the brain shrinks with it.
    sex : {"F", "M"}, optional
        Drawn by default. Male brains are larger by about 11 % in volume.
    tumor : dict, optional
        ``kind``, ``location``, ``size_mm`` and ``seed`` of `simulate_tumor`; others
        are drawn. The brain is that of the same seed without a tumour.
    bias : float
        Strength of a smooth multiplicative field: 0.2 means up to +-20 %.
    noise : float
        Standard deviation of Gaussian noise, as a fraction of the range.

    Returns
    -------
    Phantom
    """
    if np.ndim(voxel_size) == 0:
        voxel_size = (voxel_size,) * 3
    affine = Grid(shape, voxel_size, center).affine
    person, lesion, scan = np.random.default_rng(check_seed(seed)).spawn(3)
    traits = _draw_traits(person, age, sex)
    points = world_points(shape, affine)
    middle = np.array(_CEREBRUM[0], np.float32)
    standard = (points - middle) / traits["scale"] + middle
    width = np.float32(np.mean(voxel_size) / np.mean(traits["scale"]))
    data, mask, labels = _paint(_tissues(standard, width, traits))
    covariates = {"age": traits["age"], "sex": traits["sex"]}
    if tumor is not None:
        tumor = _draw_tumor(lesion) | tumor
        data, _, labels = grow_tumor(data, mask, labels, affine, **tumor)
        covariates |= {"tumor": tumor["kind"]}
        covariates |= {name: tumor[name] for name in ("location", "size_mm")}
    data = _degrade(data, points, scan, bias, noise)
    data = np.where(mask, np.clip(data, 1e-3, 1), 0).astype(np.float32)
    return Phantom(data, mask, labels, affine, covariates)


# --- traits of the person ---------------------------------------------------------


def _draw_traits(rng, age, sex):
    """Draw the individual traits, always in the same order."""
    drawn_age, drawn_sex = round(rng.uniform(20, 80), 1), rng.choice(["F", "M"])
    age = drawn_age if age is None else float(age)
    sex = str(drawn_sex if sex is None else sex)
    if sex not in ("F", "M"):
        raise InputError(f"phantom: sex {sex!r}; expected 'F' or 'M'")
    late = max(age - 20, 0) / 60  # 0 at 20 years, 1 at 80
    size = (1.035 if sex == "M" else 1.0) * (1 - 0.02 * late)
    return {
        "age": age,
        "sex": sex,
        "scale": np.float32(size * (1 + 0.02 * rng.standard_normal(3))),
        "ventricle": (1 + 1.1 * late**1.5) * math.exp(0.12 * rng.standard_normal()),
        "sulcus": 0.35 + 0.9 * late,  # half of its width, mm
        "cortex": 3.4 - 0.5 * late,  # its thickness, mm
        "folds": draw_waves(rng, 36, 26.0),
        "own_folds": draw_waves(rng, 24, 18.0),
        "depths": draw_waves(rng, 10, 60.0),
        "bends": draw_waves(rng, 10, 45.0),
    }


def _draw_tumor(rng):
    return {
        "kind": str(rng.choice(KINDS)),
        "location": str(rng.choice(LOCATIONS)),
        "size_mm": round(rng.uniform(25, 50), 1),
        "seed": int(rng.integers(2**31)),
    }


# --- anatomy ----------------------------------------------------------------------


def _tissues(points, width, traits):
    """Compute the fractions of tissues in every voxel, and of the brain's envelope.

    Distances are those of a standard brain in mm; `width` is the edge of a voxel in
    the same unit.
    """
    mirrored = points * np.array([1, 0, 0], np.float32)
    mirrored = np.abs(mirrored) + points * np.array([0, 1, 1], np.float32)
    upper, csf, shell = _cerebrum(points, mirrored, width, traits)
    lower, csf_low, shell_low = _cerebellum(mirrored, width, traits)
    stem = np.maximum(chain(mirrored, _STEM), ellipsoid(mirrored, *_PONS))
    below = lower > upper
    csf, shell = np.where(below, csf_low, csf), np.where(below, shell_low, shell)
    grey, white = shell - csf, 1 - shell
    deep = np.max([filled(ellipsoid(mirrored, *e), width) for e in _NUCLEI], axis=0)
    fluid = np.max([filled(d, width) for d in _ventricles(mirrored, traits)], axis=0)
    parts = {"csf": csf, "grey": grey, "deep": np.zeros_like(csf), "white": white}
    for name, cover in (
        ("white", filled(stem, width)),
        ("deep", deep),
        ("csf", fluid),
    ):
        parts = {k: v * (1 - cover) for k, v in parts.items()}
        parts[name] = parts[name] + cover
    envelope = np.max([upper, lower, stem], axis=0)
    return parts | {"envelope": filled(envelope + 0.3, width)}


def _cerebrum(points, mirrored, width, traits):
    """Compute the depth in the cerebrum; fractions of fluid, and fluid or cortex."""
    x, y, z = np.moveaxis(mirrored, -1, 0)
    tapered = mirrored.copy()
    tapered[..., 0] *= 1 + 0.12 * np.clip((y + 25) / 80, -1, 1)  # narrow at the front
    temporal = ellipsoid(mirrored, *_TEMPORAL)
    hull = join(ellipsoid(tapered, *_CEREBRUM), temporal, 8.0)
    fissure = _fissure(x, y, z)
    folds, sulci = _folding(points, mirrored, np.minimum(hull, fissure + 8), traits)
    hull = hull - 2.2 * np.exp(-((folds / 3.0) ** 2))  # sulci dent the outline
    depth = np.minimum(hull, np.maximum(z + 21, temporal))  # flat below, over the tent
    opening, cortex = traits["sulcus"], traits["cortex"]
    sheets = (
        (sulci, opening),
        (fissure, 0.25 + 0.7 * opening),
        (_sylvian(x, y, z), 0.2 + opening),
    )
    csf, shell = 1 - filled(depth, width), 1 - filled(depth - cortex, width)
    for distance, half in sheets:
        csf = np.maximum(csf, sheet(distance, half, width))
        shell = np.maximum(shell, sheet(distance, half + cortex, width))
    return depth, csf, shell


def _folding(points, mirrored, depth, traits):
    """Compute the distances to the nearest sulcus in mm, on the surface and its sheet.

    Sulci are the zeros of a random function of the position projected towards the
    surface, so that their sheets run inwards. The two sides share most of it.
    """
    center, axes = np.array(_CEREBRUM, np.float32)
    radius = length((points - center) / axes)
    shrink = np.clip(radius, 0.2, None)[..., None] ** 0.5
    shared = random_field(traits["folds"], (mirrored - center) / shrink)
    own = random_field(traits["own_folds"], (points - center) / shrink)
    surface = np.abs(0.75 * shared + 0.6 * own) * (23.0 / (2 * np.pi))
    reach = 18 + 5 * random_field(traits["depths"], points)
    distance = surface * shrink[..., 0]
    return surface, np.hypot(distance, np.maximum(depth - reach, 0))


def _fissure(x, y, z):
    """Compute the distance to the longitudinal fissure, which ends at the callosum."""
    inside = (1 - np.hypot((y + 13) / 45, (z - 5) / 25)) * 25
    return np.hypot(x, 2 * np.maximum(inside, 0))


def _sylvian(x, y, z):
    """Compute the distance to the sheet between temporal and frontal lobe."""
    across = 0.9 * (z - 1 + 0.5 * (y + 5)) + 2 * np.sin(x / 5 + y / 9)
    beyond = np.maximum(np.abs(y + 4) - 26, 0)
    return np.sqrt(across**2 + beyond**2 + np.maximum(36 - x, 0) ** 2)


def _cerebellum(mirrored, width, traits):
    """Compute as `_cerebrum`, with folia: thin, parallel, nearly horizontal folds."""
    _, y, z = np.moveaxis(mirrored, -1, 0)
    lobe = ellipsoid(mirrored, *_CEREBELLUM)
    depth = join(lobe, ellipsoid(mirrored, *_VERMIS), 4.0)
    # Folds fan out from the roof of the fourth ventricle, 5 to 7 mm apart.
    angle = np.arctan2(z + 36, -38 - y) + 0.15 * random_field(traits["bends"], mirrored)
    radius = np.hypot(z + 36, y + 38)
    folia = np.abs(np.sin(np.pi * 6 * angle)) * radius / (np.pi * 6)
    folia = np.hypot(folia, np.maximum(depth - 14, 0))
    opening = 0.3 * traits["sulcus"]
    csf = np.maximum(1 - filled(depth, width), sheet(folia, opening, width))
    shell = np.maximum(1 - filled(depth - 2, width), sheet(folia, 2.6, width))
    return depth, csf, np.maximum(shell, csf)


def _ventricles(mirrored, traits):
    growth = traits["ventricle"]
    cavities = (_VENTRICLE, _OCCIPITAL_HORN, _MIDLINE, _AQUEDUCT)
    return tuple(chain(mirrored, nodes, growth=growth) for nodes in cavities)


# --- image ------------------------------------------------------------------------


def _paint(fractions):
    """Convert tissue fractions to data, mask and labels."""
    mask = fractions["envelope"] >= 0.5
    data = sum(TISSUES[name] * fractions[name] for name in TISSUES)
    grey = fractions["grey"] + fractions["deep"]
    stack = np.stack([fractions["csf"], grey, fractions["white"]])
    labels = np.where(mask, np.argmax(stack, axis=0) + 1, 0).astype(np.uint8)
    return np.where(mask, data, 0).astype(np.float32), mask, labels


def _degrade(data, points, rng, bias, noise):
    """Multiply by a smooth field and add noise; both are always drawn."""
    smooth = np.tanh(random_field(draw_waves(rng, 8, 220.0), points))
    grain = rng.standard_normal(data.shape)
    return data * (1 + bias * smooth) + noise * grain
