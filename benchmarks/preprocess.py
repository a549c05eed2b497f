"""Measure what preparing T1 scans costs, and what it loses.

    python benchmarks/preprocess.py INPUT [--mask_path MASKS] [--n 8] > table.md

prints markdown: seconds per step and subject, peak memory of a process at several
voxel sizes, two processes against one in the same run, and the error of the way to
the grid and back. Without INPUT it takes phantoms. Every measurement runs in a new
process, so that none sees what another left in memory.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date
from multiprocessing import get_context
import os
from pathlib import Path
import platform
import resource
import sys
import tempfile
import time
from unittest.mock import patch

import numpy as np
from scipy.ndimage import zoom

from dipy_synth import __version__
from dipy_synth.data import preprocess
from dipy_synth.data.align import load_template
from dipy_synth.data.brain_extraction import find_brain
from dipy_synth.data.nifti import read_scan, write_volume
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.prepared import write_prepared
from dipy_synth.data.prepared_folder import link_source
from dipy_synth.data.readers import read_records
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.similarity import psnr
from dipy_synth.phantom import make_phantom

# Step as a reader knows it: the function that `prepare_t1` calls for it.
TIMED = {
    "brain mask": "find_brain",
    "N4": "correct_bias",
    "alignment": "find_transform",
    "resampling": "resample",
    "scaling": "scale_to_unit",
}


def main():
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", nargs="*", help="as for dipy_preprocess_t1")
    parser.add_argument("--mask_path", nargs="*")
    parser.add_argument("--n", type=int, default=8, help="scans to measure")
    parser.add_argument("--voxel_size", type=float, nargs="+", default=[2.0, 1.0])
    parser.add_argument(
        "--extent",
        type=float,
        nargs=3,
        default=Grid().extent.tolist(),
        help="field of view of the grid in mm; wider where a brain does not fit",
    )
    parser.add_argument("--threads", type=int, default=1, help="of N4 and alignment")
    options = parser.parse_args()
    preprocessing = [make_config(size, options.extent) for size in options.voxel_size]
    with tempfile.TemporaryDirectory() as folder:
        inputs = options.input or [make_phantoms(Path(folder) / "in", options.n)]
        records = read_records(inputs, mask_paths=options.mask_path)[: options.n]
        print(hardware(len(records), options.threads), flush=True)
        sections = (
            (times, records, preprocessing[0], options.threads, folder),
            (memory, records[0], preprocessing),
            (scaling, records, preprocessing[0], folder),
            (losses, records, preprocessing),
        )
        for function, *args in sections:
            print(function(*args), flush=True)


def make_config(size, extent):
    """Return the default preprocessing on a grid of a voxel size and extent, in mm."""
    shape = (8 * np.ceil(np.array(extent) / size / 8 - 1e-6)).astype(int)
    return preprocess.PreprocessConfig(grid=Grid(tuple(shape.tolist()), (size,) * 3))


def make_phantoms(root, n):
    """Write phantoms at 2 mm; give their folder."""
    for i in range(n):
        phantom = make_phantom(i, shape=(80, 96, 80), voxel_size=2.0)
        path = root / f"sub-{i + 1:02d}_T1w.nii.gz"
        write_volume(path, (phantom.data * 1000).astype(np.int16), phantom.affine)
    return str(root)


def hardware(n, threads):
    """Print hardware and date."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{date.today().isoformat()}, dipy_synth {__version__}, Python "
        f"{platform.python_version()}, NumPy {np.__version__}; {processor()}, "
        f"{os.cpu_count()} CPU cores (load {os.getloadavg()[0]:.1f} at the start), "
        f"{gigabytes:.0f} GiB; {n} scans, {threads} thread(s) in N4 and alignment.\n"
    )


def processor():
    """Return the processor's name, where the system has it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def table(head, rows):
    """Write a markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def alone(function, *args):
    """Call a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def peak_memory():
    """Return this process's peak memory so far in GiB (macOS counts bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


@contextmanager
def clock(spent, name):
    """Add the seconds of a block to `spent`."""
    start = time.perf_counter()
    yield
    spent[name] = spent.get(name, 0.0) + time.perf_counter() - start


def clocked(function, spent, name):
    """Return a function that adds its seconds to `spent`."""

    def call(*args, **kwargs):
        with clock(spent, name):
            return function(*args, **kwargs)

    return call


def time_scan(record, preprocessing, threads, out_dir):
    """Return the seconds of each step of one scan; the template is loaded before."""
    spent = {}
    with clock(spent, "reading"):
        data, affine, mask = read_scan(record.image, record.mask)
    load_template()
    with ExitStack() as stack, clock(spent, "prepare_t1"):
        for name, function in TIMED.items():
            call = clocked(getattr(preprocess, function), spent, name)
            stack.enter_context(patch.object(preprocess, function, call))
        prepared = preprocess.prepare_t1(
            data, affine, mask=mask, preprocessing=preprocessing, threads=threads
        )
    with clock(spent, "writing"):
        source = link_source(out_dir, [record])
        write_prepared(out_dir, record, prepared, preprocessing, source=source)
    spent["all else"] = spent.pop("prepare_t1") - sum(spent[name] for name in TIMED)
    return spent


def time_scans(records, preprocessing, threads, out_dir):
    """Return the seconds of each step of every scan, and the peak memory."""
    spent = [time_scan(record, preprocessing, threads, out_dir) for record in records]
    return spent, peak_memory()


def times(records, preprocessing, threads, folder):
    """Seconds of each step, over the scans."""
    spent, peak = alone(
        time_scans, records, preprocessing, threads, Path(folder) / "timed"
    )
    names = ["reading", *TIMED, "all else", "writing"]
    totals = [sum(s.values()) for s in spent]
    columns = {name: [s[name] for s in spent] for name in names} | {"in all": totals}
    rows = [
        (name, f"{np.median(x):.3f}", f"{min(x):.3f} to {max(x):.3f}", f"{sum(x):.1f}")
        for name, x in columns.items()
    ]
    head = ("step", "median s a scan", "range s", "all scans s")
    return table(head, rows) + f"\nPeak memory of that process: {peak:.2f} GiB.\n"


def at_voxel_size(data, affine, mask, size):
    """Interpolate a scan and its mask at an isotropic voxel size in mm."""
    factors = np.linalg.norm(affine[:3, :3], axis=0) / size
    data = zoom(data, factors, order=1, mode="nearest", grid_mode=True)
    if mask is not None:
        old = mask.astype(np.uint8)
        mask = zoom(old, factors, order=0, mode="nearest", grid_mode=True) > 0
    # The outer faces stay, so voxel 0's centre moves by half a voxel's difference.
    to_old = np.diag([*1 / factors, 1.0])
    to_old[:3, 3] = (1 / factors - 1) / 2
    return data, affine @ to_old, mask


def peak_of(record, preprocessing):
    """Return the peak memory before and after one scan at one voxel size."""
    before = peak_memory()
    data, affine, mask = read_scan(record.image, record.mask)
    size = preprocessing.grid.voxel_size[0]
    data, affine, mask = at_voxel_size(data, affine, mask, size)
    start = time.perf_counter()
    preprocess.prepare_t1(data, affine, mask=mask, preprocessing=preprocessing)
    return data.shape, before, peak_memory(), time.perf_counter() - start


def memory(record, several):
    """Peak memory of a process that prepares one scan, at several voxel sizes."""
    rows = []
    for preprocessing in several:
        shape, before, peak, seconds = alone(peak_of, record, preprocessing)
        native, grid = (
            " x ".join(map(str, s)) for s in (shape, preprocessing.grid.shape)
        )
        size, numbers = f"{preprocessing.grid.voxel_size[0]:g}", (before, peak)
        numbers = [f"{number:.2f}" for number in numbers]
        rows.append((size, native, grid, *numbers, f"{seconds:.1f}"))
    head = ("voxel mm", "native", "grid", "GiB after imports", "peak GiB", "seconds")
    return table(head, rows)


def seconds_of(records, preprocessing, out_dir, engine, n_jobs):
    """Measure the seconds of a cohort; a scan that fails is an error."""
    start = time.perf_counter()
    options = {"engine": engine, "n_jobs": n_jobs, "verbose": False}
    answers = prepare_cohort(records, out_dir, preprocessing=preprocessing, **options)
    failed = [words for _, words in answers if words]
    if failed:
        raise InputError("\n".join(failed))
    return time.perf_counter() - start


def scaling(records, preprocessing, folder):
    """Two processes against one, one run after the other."""
    folder = Path(folder)
    one = alone(seconds_of, records, preprocessing, folder / "one", "serial", 1)
    two = alone(seconds_of, records, preprocessing, folder / "two", "joblib", 2)
    row = (len(records), f"{one:.1f}", f"{two:.1f}", f"{one / two:.2f}")
    note = "\nOne process may use all cores in N4 and alignment; of two, each half.\n"
    return table(("scans", "1 process s", "2 processes s", "ratio"), [row]) + note


def loss_of(record, preprocessing):
    """Return PSNR (dB), mean absolute error (%) and correlation of a round trip.

    The shading is left in, as `restore_t1` does not put it back; and what the
    percentiles clip is clipped in the scan too.
    """
    data, affine, mask = read_scan(record.image, record.mask)
    preprocessing = replace(preprocessing, bias=False)
    prepared = preprocess.prepare_t1(
        data, affine, mask=mask, preprocessing=preprocessing
    )
    restored, _ = preprocess.restore_t1(prepared)
    brain = find_brain(data, affine, mask=mask, brain="auto")
    low, high = prepared.intensity_range
    was, is_now = (
        ((x[brain] - low) / (high - low)).clip(0, 1) for x in (data, restored)
    )
    error = 100 * np.abs(was - is_now).mean()
    return psnr(was, is_now), error, np.corrcoef(was, is_now)[0, 1]


def losses(records, several):
    """Error inside the brain of the way to the grid and back, by voxel size."""
    rows = []
    for preprocessing in several:
        found = np.array([alone(loss_of, record, preprocessing) for record in records])
        spread = zip(np.median(found, 0), found.min(0), found.max(0), (1, 2, 4))
        cells = [f"{m:.{d}f} ({a:.{d}f} to {b:.{d}f})" for m, a, b, d in spread]
        rows.append((f"{preprocessing.grid.voxel_size[0]:g}", *cells))
    head = ("grid mm", "PSNR in brain dB", "mean error % of range", "correlation")
    return table(head, rows)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"{error}\nA wider --extent may help.") from None
