"""Preparation of a cohort: scans in parallel, with failures reported at the end."""

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
import logging
from pathlib import Path

import SimpleITK as sitk

from dipy_synth.data.brain_extraction import HOW_TO
from dipy_synth.data.brain_networks import NETWORKS, load_network
from dipy_synth.data.label_maps import read_label_map
from dipy_synth.data.nifti import check_headers, read_scan
from dipy_synth.data.prepared import write_prepared
from dipy_synth.data.prepared_folder import (
    check_output,
    is_done,
    link_source,
    of_other_files,
    remove_prepared,
    warn_of_copies,
    warn_of_namesakes,
    write_description,
    write_label_table,
)
from dipy_synth.data.prepared_tables import read_participants, write_participants
from dipy_synth.data.preprocess import prepare_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.split import few_held_out, split_subjects
from dipy_synth.errors import InputError
from dipy_synth.utils.lock import locks
from dipy_synth.utils.parallel import check_engine, processors_each, run_parallel

logger = logging.getLogger("dipy")


@locks("out_dir")
def prepare_cohort(
    records,
    out_dir,
    *,
    preprocessing=None,
    engine="serial",
    n_jobs=1,
    scheduler=None,
    force=False,
    validation_fraction=0.2,
    seed=0,
    stratify=(),
    label_names=None,
    verbose=True,
):
    """Prepare every scan of a cohort.

    All headers are checked first. A scan that fails is returned with its error and does
    not stop the others; unusual properties of a scan are logged as warnings. A second
    run prepares what is missing: scans that were prepared from the same files by the
    same preprocessing are kept, and a subject stays on its side of the split.

    Parameters
    ----------
    records : list of Record
        The scans, see `dipy_synth.data.readers.read_records`.
    out_dir : str or Path
        The prepared cohort; made when missing.
    preprocessing : PreprocessConfig, optional
        Preprocessing of each scan; ``PreprocessConfig()`` by default.
    engine : {"serial", "joblib", "dask", "ray"}, optional
        Parallel engine, see `dipy_synth.utils.parallel.run_parallel`.
    n_jobs : int, optional
        Scans at a time; -1 stands for all processors.
    scheduler : str, optional
        Address of a dask scheduler, ``tcp://host:8786``, whose workers see the same
        files.
    force : bool, optional
        Replace existing scans, also of other files or another preprocessing.
    validation_fraction : float, optional
        Fraction of the subjects for validation.
    seed : int, optional
        Random seed of the split.
    stratify : sequence of str, optional
        Columns to stratify the split by.
    label_names : dict of int to str, optional
        Names of labels, for scans with label maps.
    verbose : bool, optional
        Show a progress bar.

    Returns
    -------
    list of tuple (Record, str or None)
        Each scan, and its error message.

    Raises
    ------
    InputError
        If there is no scan, an option is unknown, the engine or the scheduler is not
        available, or `out_dir` holds something else.
    """
    preprocessing = PreprocessConfig() if preprocessing is None else preprocessing
    root = Path(out_dir)
    if not records:
        raise InputError("no T1 scan to prepare: expected at least one")
    parallel = {"engine": engine, "n_jobs": n_jobs, "scheduler": scheduler}
    check_engine(**parallel)
    options = {"validation_fraction": validation_fraction, "seed": seed}
    options["stratify"] = tuple(stratify)
    split_subjects({r.subject: r.covariates for r in records}, **options)
    keys = {record.key for record in records}
    stale = check_output(root, keys, preprocessing, force=force)
    if preprocessing.brain in NETWORKS:
        load_network(preprocessing.brain)  # fail now, rather than for every scan

    check = partial(_check, preprocessing=preprocessing)
    checked = list(run_parallel(check, records, verbose=False))
    errors = _error_messages(records, checked)
    notes = {record.key: found for record, (found, _) in zip(records, checked)}
    sound = [record for record in records if errors[record.key] is None]
    kept = [] if force else _kept(root, sound, preprocessing, errors)
    todo = [r for r in sound if r not in kept and errors[r.key] is None]
    logger.info(f"{len(kept)} scans are prepared already, {len(todo)} to do")
    source = link_source(root, records)
    warn_of_namesakes(root, records, source.links)
    if todo:
        if renewed := of_other_files(root, todo):
            write_participants(root, renewed, keep=False, **options)
        for record in records if stale else todo:  # also where a check failed
            remove_prepared(root, record)
        write_description(root, records, preprocessing, source=source)
    work = partial(
        _prepare,
        root=root.absolute(),
        preprocessing=preprocessing,
        source=source,
        threads=processors_each(**parallel),
    )
    shown = {"desc": "prepared scans", "unit": "scan", "verbose": verbose}
    items = [(_absolute(record), notes[record.key]) for record in todo]
    answers = list(run_parallel(work, items, **parallel, **shown))
    errors.update(_error_messages(todo, answers))
    _warn(todo, answers)
    good = [record for record in records if errors[record.key] is None]
    write_participants(root, good, **options)
    write_label_table(root, label_names)
    warn_of_copies(root, keys)
    sides = [row.get("split") for row in read_participants(root).values()]
    if good and validation_fraction and (words := few_held_out(sides)):
        logger.warning(words)
    return [(record, errors[record.key]) for record in records]


def _check(record, *, preprocessing):
    """Check headers and options of a scan; return what its header contradicts."""
    if preprocessing.brain == "given" and record.mask is None:
        raise InputError(f"{record.image}: no mask, but brain='given' (mask_path)")
    return check_headers(record.image, record.mask, record.label_map)


def _kept(root, records, preprocessing, errors):
    """List the scans that are done; collect errors of those from other files."""
    kept = []
    for record in records:
        try:
            kept += [record] if is_done(root, record, preprocessing) else []
        except InputError as error:
            errors[record.key] = str(error)
    return kept


def _absolute(record):
    """Make the paths of a scan absolute, for workers in other folders."""
    paths = {name: getattr(record, name) for name in ("image", "mask", "label_map")}
    paths = {name: path and path.absolute() for name, path in paths.items()}
    return replace(record, **paths)


def _prepare(item, root, preprocessing, source, threads):
    """Read, prepare and write one scan, of its record and notes; return warnings."""
    record, notes = item
    data, affine, mask = read_scan(record.image, record.mask)
    labelled = record.label_map and read_label_map(record.label_map)[0]
    options = {"preprocessing": preprocessing, "threads": threads}
    try:
        with _itk_threads(threads):
            prepared = prepare_t1(
                data, affine, mask=mask, label_map=labelled, **options
            )
    except InputError as error:  # contradictions of the header may be the reason
        raise InputError("; ".join([str(error), *notes])) from error
    prepared = replace(prepared, warnings=(*notes, *prepared.warnings))
    write_prepared(root, record, prepared, preprocessing, source=source)
    return prepared.warnings


def _warn(records, answers):
    """Log the warnings of each scan; and once how to get masks of whole heads."""
    for record, (warnings, _) in zip(records, answers):
        for words in warnings or ():
            logger.warning(f"{record.image}: {words}")
    heads = sum(HOW_TO in (words or "") for _, words in answers)
    if heads:
        logger.warning(f"{heads} scans are whole heads without a brain mask: {HOW_TO}")


@contextmanager
def _itk_threads(number):
    """Limit ITK's threads, so that scans do not compete for processors."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(number)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _error_messages(records, answers):
    """Return the error message of each scan by key; each names its file."""
    errors = {}
    for record, (_, words) in zip(records, answers):
        words = words and words.replace(f"; {HOW_TO}", "")  # once for all, not for each
        paths = [str(path) for path in record.files]
        named = words is None or any(path in words for path in paths)
        errors[record.key] = words if named else f"{record.image}: {words}"
    return errors
