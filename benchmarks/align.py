"""Alignment of tilted brains to MNI152 by this package and by dipy.align.

Scans are tilted by known rotations and shifts in their affine, so that no interpolation
is in between. The error is that of points of the template's brain, in mm: of a copy of
the template against the truth; of a scan, as tilted against as given. The processor's
time is that of one thread.

    python benchmarks/align.py INPUT --mask_path MASKS --n 4
"""

import argparse
from datetime import date
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from dipy.align import affine_registration  # noqa: E402
import numpy as np  # noqa: E402
from runs import hardware  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from dipy_synth.data.align import (  # noqa: E402
    find_transform,
    load_template,
    template_correlation,
    without_size,
)
from dipy_synth.data.nifti import read_scan  # noqa: E402
from dipy_synth.data.operations import bounding_corners  # noqa: E402
from dipy_synth.data.readers import read_records  # noqa: E402

SIZE = 1.1  # of the template's copy, against the template


def main():
    """Print errors, agreement with the template and times, by method and tilt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", nargs="*", help="as for dipy_preprocess_t1")
    parser.add_argument("--mask_path", nargs="*")
    parser.add_argument("--n", type=int, default=4, help="scans to align")
    parser.add_argument(
        "--degrees", type=float, nargs="+", default=[10, 30], help="tilts"
    )
    options = parser.parse_args()
    scans = [read_masked(r) for r in records_of(options)]
    for name, method in METHODS.items():
        straight = [timed(method, scan)[0] for scan in scans]
        for degrees in options.degrees:
            report(name, degrees, *measure(method, scans, straight, degrees))
    print(f"{date.today()}, {hardware()}, {len(scans)} scans")


def records_of(options):
    """Return the records of the inputs; none without any."""
    if not options.input:
        return []
    return read_records(options.input, mask_paths=options.mask_path)[: options.n]


def read_masked(record):
    """Read a scan: data, mask and affine."""
    data, affine, mask = read_scan(record.image, record.mask)
    return (data, data > 0 if mask is None else mask, affine)


def ours(data, mask, affine):
    """Align by SimpleITK, as `prepare_t1` does."""
    return find_transform(data, mask, affine)


def by_dipy(pipeline):
    """Make an alignment by DIPY: mutual information, at 8 mm and then at 4 mm."""

    def align(data, mask, affine):
        static, static_affine = load_template()
        _, found = affine_registration(
            np.where(mask, data, 0).astype("float64"),
            static.astype("float64"),
            moving_affine=affine,
            static_affine=static_affine,
            pipeline=pipeline,
            level_iters=[200, 200],
            sigmas=[2.0, 1.0],
            factors=[4, 2],
        )
        middle = np.mean(bounding_corners(static > 0, static_affine), axis=0)
        return without_size(found, middle)

    return align


METHODS = {
    "SimpleITK": ours,
    "dipy.align, with size": by_dipy(["center_of_mass", "rigid", "rigid_isoscaling"]),
    "dipy.align, rigid": by_dipy(["center_of_mass", "rigid"]),
}


def measure(method, scans, straight, degrees):
    """Return errors of the template and of scans, correlations, and seconds."""
    rng = np.random.default_rng(0)
    template, affine = load_template()
    middle = np.mean(bounding_corners(template > 0, affine), axis=0)
    tilt = random_tilt(degrees, middle, rng)
    copy = (template, template > 0, tilt @ scaling(SIZE, middle) @ affine)
    found, seconds = timed(method, copy)
    exact, errors, correlations, spent = error(found, tilt), [], [], [seconds]
    for (data, mask, given), before in zip(scans, straight):
        tilt = random_tilt(degrees, np.mean(bounding_corners(mask, given), axis=0), rng)
        found, seconds = timed(method, (data, mask, tilt @ given))
        errors.append(error(found, tilt @ before))
        correlations.append(template_correlation(data, mask, tilt @ given, found))
        spent.append(seconds)
    return exact, errors, correlations, spent


def timed(method, scan):
    """Return a method's transform and the processor's time, in seconds."""
    start = time.process_time()
    return method(*scan), time.process_time() - start


def random_tilt(degrees, center, rng):
    """Rotate about a random axis through a point, and shift by up to 10 mm: (4, 4)."""
    axis = rng.normal(size=3)
    matrix = np.eye(4)
    turn = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis))
    matrix[:3, :3] = turn.as_matrix()
    shift = rng.uniform(-10, 10, 3)
    matrix[:3, 3] = center - matrix[:3, :3] @ center + shift
    return matrix


def scaling(factor, center):
    """Scale about a point: ndarray of shape (4, 4)."""
    matrix = np.diag([factor] * 3 + [1.0])
    matrix[:3, 3] = (1 - factor) * center
    return matrix


def error(found, truth):
    """Return the mean distance of two maps over the template's brain, in mm."""
    template, affine = load_template()
    points = np.argwhere(template > 0)[::500] @ affine[:3, :3].T + affine[:3, 3]
    apart = points @ (found - truth)[:3, :3].T + (found - truth)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).mean())


def report(name, degrees, exact, errors, correlations, spent):
    """Print a row."""
    scans = ""
    if errors:
        scans = (
            f"; scans {np.median(errors):.2f} ({min(errors):.2f} to "
            f"{max(errors):.2f}) mm, correlation {np.median(correlations):.3f} "
            f"({min(correlations):.3f} to {max(correlations):.3f})"
        )
    print(
        f"{name}, {degrees:g} degrees: template {exact:.2f} mm{scans}; "
        f"{np.median(spent):.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
