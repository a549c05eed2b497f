"""A folder of scans to a prepared cohort: in parallel, and whatever a scan may be."""

from functools import partial
import logging
import os
from pathlib import Path

import SimpleITK as sitk
from dipy.utils.multiproc import determine_num_processes
from dipy.utils.parallel import paramap
from dipy.utils.tripwire import TripWireError

from dipy_synth.data.brain import NETWORKS, load_network
from dipy_synth.data.images import check_headers, read_scan
from dipy_synth.data.prepared import (
    check_output,
    is_done,
    write_description,
    write_participants,
    write_prepared,
)
from dipy_synth.data.preprocess import Steps, prepare_t1
from dipy_synth.data.split import split_subjects
from dipy_synth.errors import InputError

ENGINES = ("serial", "joblib", "dask", "ray")

logger = logging.getLogger("dipy_synth")


def prepare_cohort(
    records,
    out_dir,
    *,
    steps=None,
    engine="serial",
    n_jobs=1,
    force=False,
    validation_fraction=0.2,
    seed=0,
    stratify=(),
    verbose=True,
):
    """Prepare every scan of a cohort.

    All headers are checked first. A scan that fails is told in the answer and does not
    stop the others. A second run does what is missing: scans that are there, from the
    same files and by the same steps, are kept, and a subject stays on its side of the
    split.

    Parameters
    ----------
    records : list of Record
        The scans, see `dipy_synth.data.readers.read_records`.
    out_dir : str or Path
        The prepared cohort; made when missing.
    steps : Steps, optional
        What to do with each scan; ``Steps()`` by default.
    engine : {"serial", "joblib", "dask", "ray"}, optional
        What runs scans in parallel, by `dipy.utils.parallel.paramap`.
    n_jobs : int, optional
        Scans at a time; -1 stands for all processors.
    force : bool, optional
        Prepare anew what is there, even from other files or by other steps.
    validation_fraction : float, optional
        Part of the subjects for validation.
    seed : int, optional
        Seed of the split.
    stratify : sequence of str, optional
        Columns that training and validation should share alike.
    verbose : bool, optional
        Show a progress bar.

    Returns
    -------
    list of tuple (Record, str or None)
        Each scan, and what is wrong with it.

    Raises
    ------
    InputError
        If there is no scan, an option is not known, or `out_dir` holds something else.
    """
    steps, root = Steps() if steps is None else steps, Path(out_dir)
    if not records:
        raise InputError("no T1 scan to prepare: expected at least one")
    if engine not in ENGINES or n_jobs == 0:
        raise InputError(
            f"engine {engine!r}, n_jobs {n_jobs}: expected one of {', '.join(ENGINES)} "
            "and 1 or more jobs (or -1)"
        )
    options = {"validation_fraction": validation_fraction, "seed": seed}
    options["stratify"] = tuple(stratify)
    split_subjects({r.subject: r.covariates for r in records}, **options)
    check_output(root, {record.key for record in records}, steps, force=force)
    if steps.brain in NETWORKS:
        load_network(steps.brain)  # now, rather than to fail for every scan

    errors = {record.key: _told(_check, record, steps) for record in records}
    sound = [record for record in records if errors[record.key] is None]
    kept = [] if force else _kept(root, sound, steps, errors)
    todo = [r for r in sound if r not in kept and errors[r.key] is None]
    logger.info(f"{len(kept)} scans are prepared already, {len(todo)} to do")
    if todo:
        write_description(root, records, steps)
    work = partial(_prepare, root=root, steps=steps)
    errors.update(_in_parallel(work, todo, engine, n_jobs, verbose))
    good = [record for record in records if errors[record.key] is None]
    write_participants(root, good, **options)
    return [(record, errors[record.key]) for record in records]


def _check(record, steps):
    """Check what headers and options tell of a scan."""
    if steps.brain == "given" and record.mask is None:
        raise InputError(f"{record.image}: no mask, but brain='given' (mask_path)")
    check_headers(record.image, record.mask)


def _kept(root, records, steps, errors):
    """List the scans that are done; note those that are there from other files."""
    kept = []
    for record in records:
        try:
            kept += [record] if is_done(root, record, steps) else []
        except InputError as error:
            errors[record.key] = str(error)
    return kept


def _in_parallel(work, records, engine, n_jobs, verbose):
    """Run the scans; give what is wrong with each, by key."""
    if not records:
        return {}
    processors = os.cpu_count() or 1
    n_jobs = 1 if engine == "serial" else determine_num_processes(n_jobs)
    work = partial(work, threads=max(1, processors // n_jobs))
    options = {"engine": engine, "n_jobs": n_jobs, "verbose": verbose}
    try:
        # A function with an argument, since ray takes no partial for a function.
        answers = paramap(_call, records, func_args=[work], **options)
    except TripWireError as error:
        raise InputError(
            f"engine {engine!r}: not installed (pip install {engine}); expected one "
            "that is, serial always is"
        ) from error
    return {record.key: answer for record, answer in zip(records, answers)}


def _call(record, work):
    """Run one scan with ITK's threads limited, so that scans do not fight for cores."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(work.keywords["threads"])
    try:
        return _told(work, record)
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _prepare(record, root, steps, threads):
    """Read, prepare and write one scan."""
    data, affine, mask = read_scan(record.image, record.mask)
    prepared = prepare_t1(data, affine, mask=mask, steps=steps, threads=threads)
    write_prepared(root, record, prepared, steps)


def _told(function, record, *args):
    """Call a function on a scan; give what is wrong in words, or None.

    A scan can bring any step down in a way nobody thought of, hours into a run; then
    the others still go on, and the kind of error is told.
    """
    try:
        function(record, *args)
    except InputError as error:
        words = str(error)
    except Exception as error:
        logger.debug(f"{record.key} failed", exc_info=True)
        words = f"{type(error).__name__}: {error}"
    else:
        return None
    named = str(record.image) in words or (record.mask and str(record.mask) in words)
    return words if named else f"{record.image}: {words}"
