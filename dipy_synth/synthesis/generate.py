"""Generation of synthetic brains or images on disk by the name of a model."""

from pathlib import Path

from dipy.utils.logging import logger

from dipy_synth.conditions import ConditionSchema
from dipy_synth.data.target import find_target
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.store import read_config
from dipy_synth.synthesis.images import check_for_images, synthesize_images
from dipy_synth.synthesis.outputs import Outputs
from dipy_synth.synthesis.qc_filter import QCFilter
from dipy_synth.synthesis.request import Request, read_matched_participants
from dipy_synth.synthesis.synthetic_cohort import synthesize_cohort
from dipy_synth.utils.startup import start_keras


def synthesize(
    model,
    out_dir,
    *,
    n=None,
    seed=0,
    conditions=(),
    participants=None,
    keep_ids=False,
    sweep=(),
    gate=False,
    like=None,
    voxel_size=(),
    tissues=False,
    batch_size=None,
    engine="serial",
    n_jobs=1,
    scheduler=None,
    force=False,
    **sampling,
):
    """Generate synthetic brains, or images, of a model by its name.

    The request is checked against the configuration of the model before Keras is
    imported. Conditions and sweep are words, such as ``age=70`` and ``age=20:90:8``;
    `participants` is a table of conditions, see
    `dipy_synth.synthesis.request.read_matched_participants`; `gate` draws samples again
    that do not pass the QC filter of the model; `like` and `voxel_size` are those of
    `dipy_synth.data.target.find_target`; `sampling` are those of
    `dipy_synth.diffusion.sampling_settings.SamplingSettings`. All else, and errors, are
    as in `synthesize_cohort` and `synthesize_images`.

    Return the paths of the volumes, or of the one file of images.
    """
    folder, config = read_config(model, kinds=("ldm",))
    schema = ConditionSchema.from_config(config["conditions"])
    matched = ()
    if keep_ids and not participants:
        raise InputError("keep_ids without participants: expected their table, too")
    if participants:
        matched = read_matched_participants(participants, schema, keep_ids=keep_ids)
    request = Request(
        seed=seed,
        conditions=schema.parse(conditions),
        participants=matched,
        sweep=schema.parse_sweep(sweep),
        sampling=SamplingSettings(**sampling).completed(config["sampling"]),
    )
    request.count(n)
    request.sampling.check_guide("guide_sha256" in config)
    qc_filter = _load_qc_filter(folder) if gate and config["grid"] else None
    parallel = {"engine": engine, "n_jobs": n_jobs, "scheduler": scheduler}
    options = {"n": n, "request": request, "force": force}
    if batch_size is not None:
        options["batch_size"] = batch_size
    written = {"like": like, "voxel_size": voxel_size}
    if config["grid"] is None:
        check_for_images(gate=gate, tissues=tissues, **written, **parallel)
        path = synthesize_images(_load(folder), out_dir, **options)
        logger.info(f"Synthetic images in {path}")
        return [path]
    target = find_target(**written, grid=Grid.from_config(config["grid"]))
    options["outputs"] = Outputs(target, tissues)
    paths = synthesize_cohort(
        _load(folder), out_dir, qc_filter=qc_filter, **parallel, **options
    )
    brains = "brain" if len(paths) == 1 else "brains"
    logger.info(f"{len(paths)} synthetic {brains} in {Path(out_dir)}")
    return paths


def _load_qc_filter(folder):
    qc_filter = QCFilter.load(folder)
    if qc_filter.search is None:
        logger.warning(
            "--gate checks anatomy alone: the model was trained without --with_gate, "
            "so that it has no training brains to search for copies of"
        )
    return qc_filter


def _load(folder):
    """Load a model; start Keras only now, without its messages."""
    start_keras()
    from dipy_synth.nn.ldm import LDM

    return LDM(folder)
