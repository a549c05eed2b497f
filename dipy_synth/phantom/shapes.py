"""Shapes in millimetres: signed depths, voxel fractions and smooth random fields.

They are used by the other modules of `dipy_synth.phantom`. A *depth* is the signed
distance to a surface, positive inside, to first order.
"""

import math

import numpy as np


def dot(points, vector):
    """Multiply vectors, shape (..., 3), by one: ndarray of shape (...).

    This avoids ``@``, which is a hundred times slower where threads of a BLAS wait for
    a busy core.
    """
    return sum(points[..., i] * vector[i] for i in range(3))


def length(points):
    """Compute the length of vectors, shape (..., 3): ndarray of shape (...)."""
    return np.sqrt(sum(points[..., i] ** 2 for i in range(3)))


def world_points(shape, affine):
    """Compute the world position of every voxel: float32 (X, Y, Z, 3), in mm."""
    index = np.stack(np.indices(shape), axis=-1).astype(np.float32)
    affine = np.asarray(affine, np.float32)
    return np.stack([dot(index, row) + row[3] for row in affine[:3]], axis=-1)


def draw_waves(rng, count, wavelength):
    """Draw plane waves of random directions and phases.

    Return their wave vectors (count, 3) in rad/mm, and phases (count,) in rad. Each
    wavelength is within about a quarter of the mean one, in mm.
    """
    k = rng.standard_normal((count, 3))
    k *= 2 * np.pi / wavelength / np.linalg.norm(k, axis=1, keepdims=True)
    k *= rng.uniform(0.8, 1.25, (count, 1))
    return k.astype(np.float32), rng.uniform(0, 2 * np.pi, count).astype(np.float32)


def random_field(waves, points):
    """Sum waves of `draw_waves` to a smooth field at points (..., 3), in mm.

    It has the mean 0 and the variance 1.
    """
    total = np.zeros(points.shape[:-1], np.float32)
    for k, phase in zip(*waves):
        total += np.cos(dot(points, k) + phase)
    return total * np.float32(math.sqrt(2 / len(waves[1])))


def ellipsoid(points, center, axes):
    """Compute the depth in an ellipsoid of semi-axes `axes`, all in mm."""
    axes = np.array(axes, np.float32)
    scaled = (points - np.array(center, np.float32)) / axes
    radius = length(scaled)
    slope = length(scaled / axes)
    return (1 - radius) * radius / np.maximum(slope, 1e-6)


def chain(points, nodes, *, growth=1.0):
    """Compute the depth in a chain of capsules: nodes are (position, radius), in mm."""
    depth = np.full(points.shape[:-1], -np.inf, np.float32)
    for (start, r0), (stop, r1) in zip(nodes[:-1], nodes[1:]):
        start = np.array(start, np.float32)
        axis = np.array(stop, np.float32) - start
        along = np.clip(dot(points - start, axis) / dot(axis, axis), 0, 1)
        away = length(points - start - along[..., None] * axis)
        depth = np.maximum(depth, growth * (r0 + (r1 - r0) * along) - away)
    return depth


def join(a, b, blend):
    """Unite two depths with a fillet of `blend` mm."""
    h = np.maximum(blend - np.abs(a - b), 0) / blend
    return np.maximum(a, b) + h * h * blend / 4


def filled(depth, width):
    """Compute the fraction of a voxel of `width` mm that lies below a surface."""
    return np.clip(depth / width + 0.5, 0, 1)


def sheet(distance, half_width, width):
    """Compute the fraction of a voxel of `width` mm within `half_width` mm of a sheet.

    Exact in one dimension, also for sheets thinner than a voxel.
    """
    low = np.maximum(distance - width / 2, -half_width)
    high = np.minimum(distance + width / 2, half_width)
    return np.clip((high - low) / width, 0, 1)
