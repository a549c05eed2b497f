"""A synthetic cohort on disk: volumes, sidecars, tables and a picture."""

from collections import Counter
from dataclasses import replace
from functools import lru_cache, partial
import os
from pathlib import Path
import warnings

from dipy.utils.logging import logger
import numpy as np

from dipy_synth import __version__
from dipy_synth.data.nifti import read_volume, write_volume
from dipy_synth.data.prepared import space_of
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.synthesis.request import Request, difference
from dipy_synth.utils.files import read_json, write_json
from dipy_synth.utils.lock import locks
from dipy_synth.utils.montage import save_montage
from dipy_synth.utils.parallel import check_engine, processors_each, run_parallel
from dipy_synth.utils.progress import volume_bar
from dipy_synth.utils.random import check_seed
from dipy_synth.utils.tables import write_table

MOST_ATTEMPTS = 20  # draws of a volume that a QC filter may drop
MOST_IN_VAIN = 10  # the same of a whole cohort, before the first volume passes


@locks("out_dir")
def synthesize_cohort(
    ldm,
    out_dir,
    *,
    n=None,
    request=None,
    batch_size=1,
    engine="serial",
    n_jobs=1,
    scheduler=None,
    qc_filter=None,
    force=False,
):
    """Generate volumes straight to disk, or go on where a run was stopped.

    A volume that is there is kept, a missing one is made; the result is that of an
    uninterrupted run. No more than a batch of volumes is in memory, and no more than
    that is lost by a kill.

    Parameters
    ----------
    ldm : LDM
        A model with weights.
    out_dir : str or Path
        Folder of the cohort, a BIDS derivative.
    n : int, optional
        Samples wanted, each a volume or, with a sweep, one a value; by default as many
        as there are participants to match, or one. Asking for more later adds to those
        that are there; so do further rows of participants.
    request : Request, optional
        What they are to be.
    batch_size : int, optional
        Volumes at a time.
    engine, n_jobs, scheduler : optional
        As for `dipy_synth.utils.parallel.run_parallel`, to make batches at the same
        time. Engines other than serial load the model from its folder, once a process.
    qc_filter : QCFilter, optional
        What says which volumes are let out, as `QCFilter.load` reads it. A volume that
        is not is drawn again, attempt by attempt, each with noise of its own; sidecars
        tell how often and why, ``dataset_description.json`` the counts.
    force : bool, optional
        Replace a cohort that was made by another request or model.

    Returns
    -------
    list of Path
        The volumes, ``sub-synth<number>_desc-synthetic_T1w.nii.gz``, float32 in
        [0, 1] with the background exactly 0.

    Raises
    ------
    InputError
        If the folder holds something else, or the request cannot be met; with a QC
        filter, if 20 draws of a volume were dropped, or the first 10 of the cohort.
    """
    out_dir, request = Path(out_dir).resolve(), (request or Request())
    if qc_filter is not None and request.sweep:
        raise InputError(
            "QC filter with sweep: expected one of them (a volume drawn again would "
            "have "
            "other noise than those beside it)"
        )
    if ldm.config["grid"] is None:
        raise InputError(
            f"{ldm.folder}: a model of images, which lie nowhere in space; expected a "
            "model of volumes (synthesize_images makes images)"
        )
    n = request.count(n)
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size}: expected at least 1")
    check_engine(engine, n_jobs=n_jobs, scheduler=scheduler)
    ldm.schema.check([request.sample(i)["Conditions"] for i in range(n)])
    check_sampling(ldm, request)
    request = request.completed(ldm.config["sampling"])
    told = {"ModelHash": ldm.config["weights_sha256"], **request.to_config()}
    told["QCFilter"] = qc_filter and qc_filter.sha256
    _claim(out_dir, told, ldm, force=force)
    missing = [i for i in range(n) if not _volume_path(out_dir, i).exists()]
    if len(missing) < n:
        logger.info("%s: %d of %d volumes are there", out_dir, n - len(missing), n)
    _remove_leftovers(out_dir)
    starts = range(0, len(missing), batch_size)
    runs = [{k: request.sample(k) for k in missing[i : i + batch_size]} for i in starts]
    # a batch is sent with its own samples, not with all rows of participants
    common = replace(request, participants=(), sweep={})
    work = {"out_dir": out_dir, "request": common, "qc_filter": qc_filter}
    if engine == "serial" and scheduler is None:
        _make_here(ldm, runs, work, total=len(missing))
    else:
        options = {"engine": engine, "n_jobs": n_jobs, "scheduler": scheduler}
        _make_elsewhere(ldm, runs, work, options)
    _write_table(out_dir, request)
    if qc_filter is not None:
        _count_draws(out_dir)
    _draw(out_dir, request, n)
    return [_volume_path(out_dir, i) for i in range(n)]


def check_sampling(ldm, request):
    """Refuse what cannot be sampled, before anything on disk is touched."""
    # here, since a process that generates sets TensorFlow's threads before it loads
    from dipy_synth.diffusion.guidance import sampling_settings

    sampling_settings(ldm.config["sampling"], **request.settings())
    check_seed(request.seed)


def _make_here(ldm, runs, work, *, total):
    with volume_bar(total) as done:
        for samples in runs:
            _make(ldm, samples, progress=done, **work)


def _make_elsewhere(ldm, runs, work, options):
    """Generate in other processes, each with a model of its own."""
    threads = processors_each(**options)
    model = {"folder": ldm.folder, "sha256": ldm.config["weights_sha256"]}
    if work["qc_filter"] is not None and work["qc_filter"].sha256:
        work["qc_filter"] = work["qc_filter"].sha256  # read by each process, once
    make = partial(_make_there, **model, threads=threads, **work)
    answers = run_parallel(make, runs, **options)
    failed = {}
    for run, (_, words) in zip(runs, answers):
        failed.setdefault(words, []).append(f"sub-synth{min(run) + 1:05d}")
    failed.pop(None, None)
    for words, firsts in failed.items():
        logger.error("%d batches, the first at %s: %s", len(firsts), firsts[0], words)
    if failed:
        raise InputError(
            "not all volumes could be made, the reasons are told above; the same "
            "request goes on with those that are missing"
        )


def _make_there(samples, *, folder, sha256, threads, qc_filter, **work):
    """Generate a run of volumes in a process that may have to load the model first."""
    # read when the backend starts, which a fresh process does below
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    if isinstance(qc_filter, str):
        qc_filter = _load_qc_filter(folder, qc_filter)
    ldm = _load(folder, sha256)
    _make(ldm, samples, progress=False, qc_filter=qc_filter, **work)


@lru_cache(maxsize=1)
def _load(folder, sha256):
    """Load a model once a process, which may outlive what lies in the folder."""
    from dipy_synth.nn.ldm import LDM

    ldm = LDM(folder)
    if ldm.config["weights_sha256"] != sha256:
        raise InputError(f"{folder}: the model there is no longer that of this run")
    return ldm


@lru_cache(maxsize=1)
def _load_qc_filter(folder, sha256):
    """Load a QC filter once a process."""
    from dipy_synth.synthesis.qc_filter import QCFilter

    found = QCFilter.load(folder)
    if found.sha256 != sha256:
        raise InputError(f"{folder}: the QC filter there is not that of this run")
    return found


def _make(ldm, samples, *, out_dir, request, qc_filter, progress):
    """Generate and write the volumes of some samples, by number, in one batch.

    What the QC filter drops is drawn again, until all are written.
    """
    where = {
        "affine": Grid.from_config(ldm.config["grid"]).affine,
        "space": space_of((ldm.config.get("preprocessing") or {}).get("align")),
    }
    common = request.to_config()
    del common["Participants"], common["Sweep"]
    common = {"ModelHash": ldm.config["weights_sha256"], **common}
    dropped = {number: [] for number in samples}  # what spoke against each attempt
    while dropped:
        attempts = [len(reasons) for reasons in dropped.values()]
        wanted = [samples[number] for number in dropped]
        volumes = _generate(ldm, request, wanted, attempts, progress)
        progress = False  # the bar counts volumes, not draws
        for number, volume in zip([*dropped], volumes):
            reasons = qc_filter(volume) if qc_filter is not None else []
            if reasons:
                dropped[number].append(reasons)
                continue
            told = {**common, **samples[number]}
            if qc_filter is not None:
                told |= {
                    "QCFilter": qc_filter.sha256,
                    "QCFilterAttempts": len(dropped[number]) + 1,
                }
                told |= {"QCFilterDropped": dropped[number]}
            _write(_volume_path(out_dir, number), volume, told, **where)
            del dropped[number]
        _give_up(dropped, out_dir)


def _generate(ldm, request, samples, attempts, progress):
    """Generate the volumes of some samples, each at its attempt."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "condition ")  # told before, once for all
        return ldm.generate(
            seed=request.seed,
            numbers=[sample["SampleNumber"] for sample in samples],
            attempts=attempts,
            conditions=[sample["Conditions"] for sample in samples],
            batch_size=len(samples),
            progress=progress,
            **request.settings(),
        )


def _give_up(dropped, out_dir):
    """End where the QC filter lets nothing out: of a volume, or of a whole cohort."""
    most = max(map(len, dropped.values()), default=0)
    draws = [reasons for attempts in dropped.values() for reasons in attempts]
    hopeless = len(draws) >= MOST_IN_VAIN and not _volumes_there(out_dir)
    if most < MOST_ATTEMPTS and not hopeless:
        return
    counts = _counts(draws)
    name, times = next(iter(counts.items()))
    start = f"{name}: "
    values = [r for reasons in draws for r in reasons if r.startswith(start)]
    raise InputError(
        f"the QC filter dropped all of {len(draws)} draws, {times} of them for {name}, "
        "such "
        f"as {values[-1].removeprefix(start)}. The model does not make brains that "
        "pass: train it longer, or leave the QC filter out"
    )


def _counts(draws):
    """Count for how many draws each metric was a reason: dict, the largest first."""
    names = [reason.split(": ")[0] for reasons in draws for reason in reasons]
    return dict(Counter(names).most_common())


def _count_draws(out_dir):
    """Tell what the QC filter dropped, in the log and in dataset_description.json."""
    sidecars = [read_json(_sidecar_path(path)) for path in _volumes_there(out_dir)]
    draws = [reasons for sidecar in sidecars for reasons in sidecar["QCFilterDropped"]]
    counts = _counts(sorted(draws))
    told = ", ".join(f"{n} for {name}" for name, n in counts.items()) or "none"
    logger.info(
        "QC filter: %d volumes of %d draws; dropped: %s",
        len(sidecars),
        len(sidecars) + len(draws),
        told,
    )
    path = out_dir / "dataset_description.json"
    found = {"Draws": len(sidecars) + len(draws), "DroppedFor": counts}
    write_json(path, {**read_json(path), "DipySynthQCFilter": found})


def _write(path, volume, told, **where):
    """Write a volume and its sidecar; the volume last, since it marks completion."""
    sidecar = {"Synthetic": True, "DipySynthVersion": __version__, **told}
    write_json(_sidecar_path(path), sidecar)
    write_volume(path, volume, **where)


def _volume_path(out_dir, number):
    subject = f"sub-synth{number + 1:05d}"
    return out_dir / subject / "anat" / f"{subject}_desc-synthetic_T1w.nii.gz"


def _sidecar_path(path):
    return path.with_name(path.name.replace(".nii.gz", ".json"))


def _volumes_there(out_dir):
    return sorted(out_dir.glob("sub-synth*/anat/sub-synth*_desc-synthetic_T1w.nii.gz"))


def _remove_leftovers(out_dir):
    """Remove what a killed run was writing."""
    for pattern in (".tmp-*", "sub-synth*/anat/.tmp-*"):
        for path in out_dir.glob(pattern):
            path.unlink()


def _claim(out_dir, told, ldm, *, force):
    """Make the folder this request's own, or refuse if it is another's."""
    path = out_dir / "dataset_description.json"
    if path.exists():
        found = read_json(path).get("DipySynth") or {}
        if "ModelHash" not in found:
            raise InputError(f"{out_dir}: holds another data set")
        different = difference(found, told)
        longer = len(told["Participants"]) > len(found["Participants"])
        if not (different or longer or force):
            return
        there = _volumes_there(out_dir)
        if different and there and not force:
            raise InputError(
                f"{out_dir}: holds a cohort made by another request: {different}. Use "
                "the same request to add to it, another --out_dir, or --force to "
                "replace it."
            )
        for old in there if force or different else ():
            old.unlink()
            _sidecar_path(old).unlink(missing_ok=True)
    elif out_dir.is_dir() and any(out_dir.glob("sub-*")):
        raise InputError(f"{out_dir}: holds subjects of another data set")
    _describe(path, told, ldm)


def _describe(path, told, ldm):
    """Write the BIDS description of the cohort."""
    content = {
        "Name": "Synthetic T1 brain MRI",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "dipy_synth", "Version": __version__}],
        "DipySynth": told,
    }
    licence = ldm.config.get("license")
    if licence:
        content["License"] = licence
    write_json(path, content)


def _write_table(out_dir, request):
    """Write participants.tsv from the sidecars of what is there."""
    rows = []
    for path in _volumes_there(out_dir):
        sidecar = read_json(_sidecar_path(path))
        row = {"participant_id": path.parts[-3]}
        if request.sweep:
            row["sample"] = sidecar["SampleNumber"]
        if "MatchedId" in sidecar:
            row["matched_id"] = sidecar["MatchedId"]
        rows.append(row | sidecar["Conditions"])
    write_table(out_dir / "participants.tsv", rows)


def _draw(out_dir, request, n):
    """Draw the first volumes; of a sweep a row a sample, with values spread over it."""
    variants = request.variants()
    if len(variants) == 1:
        groups, titles = [range(min(n, 8))], None
    else:
        places = np.linspace(0, len(variants) - 1, min(len(variants), 8)).astype(int)
        samples = range(min(n // len(variants), 4))
        groups = [s * len(variants) + places for s in samples]
        asked = ", ".join(" ".join(map(str, variants[i].values())) for i in places)
        titles = [f"sample {s}, {' '.join(request.sweep)}: {asked}" for s in samples]
    rows = [[read_volume(_volume_path(out_dir, i))[0] for i in g] for g in groups]
    save_montage(out_dir / "mid-slices.png", rows, titles=titles)
