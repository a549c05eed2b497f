"""Collecting the context of a model: its run, cohort and autoencoder."""

import numpy as np

from dipy_synth.conditions import ConditionSchema
from dipy_synth.data.cohort import fingerprint, load_cohort, open_cohort, subjects_of
from dipy_synth.diagnostics.context import DiagnosticContext
from dipy_synth.diffusion.latents import conditions_of, encode_volumes
from dipy_synth.errors import InputError
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.store import read_config
from dipy_synth.utils.files import read_object
from dipy_synth.utils.labels import labels_on_side

_SIDES = (
    ("train", "latents", "conditions"),
    ("validation", "held_out", "held_out_conditions"),
)


def describe_request(model, *, prepared=None, vqvae=None, quick=False, seed=0):
    """Describe a diagnosis, equal ones equally: dict in JSON types.

    Parameters are those of `read_context` and `run_checks`.
    """
    folder, config = read_config(model, kinds=("ldm",))
    request = {"model": config["weights_sha256"], "guide": config.get("guide_sha256")}
    request |= {"run": _run_of(folder) is not None, "cohort": None, "vqvae": None}
    if prepared is not None:
        names = ConditionSchema.from_config(config["conditions"]).names
        request["cohort"] = fingerprint(load_cohort(prepared), names)
    if vqvae is not None:
        _, other = read_config(vqvae, kinds=("vqvae", "ldm"))
        request["vqvae"] = other["weights_sha256"]
    return {**request, "quick": bool(quick), "seed": seed}


def read_context(model, *, prepared=None, vqvae=None, seed=0):
    """Collect the context of a model.

    Parameters
    ----------
    model : str or Path
        A run of ``dipy_train_ldm``, a model folder, or the name of a bundled model.
    prepared : str, Path, Cohort or ArrayCohort, optional
        The cohort it was trained on, or another one on its grid.
    vqvae : str or Path, optional
        The run or model folder of its autoencoder.
    seed : int, optional
        Random seed.

    Returns
    -------
    DiagnosticContext

    Raises
    ------
    InputError
        If there is no such model, or the cohort does not match it.
    """
    ldm = LDM(model)
    run = _run_of(ldm.folder)
    known = {"run": run, "seed": seed}
    if vqvae is not None:
        known["vqvae"] = VQVAE(vqvae)
    cohort = None if prepared is None else open_cohort(prepared)
    if cohort is not None:
        known |= _from_cohort(ldm, cohort)
    kept = _from_run(ldm, run, cohort) if run else {}
    if cohort is not None:
        kept = _encode_missing(ldm, cohort, kept)
    return DiagnosticContext(ldm, **known, **kept)


def _run_of(folder):
    """Find the run that a model folder is of: Path or None."""
    run = folder.resolve().parent
    return run if (run / "settings.json").is_file() else None


def _from_cohort(ldm, cohort):
    """Choose volumes of a cohort, and read its split."""
    if tuple(cohort.shape) != tuple(ldm.vqvae.network.shape):
        raise InputError(
            f"{cohort.root}: volumes of shape {tuple(cohort.shape)}, expected "
            f"{tuple(ldm.vqvae.network.shape)}, those of the model"
        )
    where = _where(ldm, cohort, "validation")
    where = where if where.any() else np.ones(len(cohort.keys), bool)
    most = 8 if ldm.vqvae.network.rank == 3 else 64
    rows = np.flatnonzero(where)
    rows = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]
    volumes = np.asarray(cohort.volumes()[rows], "float32")
    sides = {side: subjects_of(cohort, side) for side in ("train", "validation")}
    return {"volumes": volumes, "cohort_split": sides}


def _where(ldm, cohort, side):
    """Return which volumes are on a side of the model's split."""
    split = ldm.config.get("split", {})
    trained = set(labels_on_side(split, cohort.subjects, "train"))
    seen = np.array([subject in trained for subject in cohort.subjects])
    return seen if side == "train" else ~seen


def _from_run(ldm, run, cohort):
    """Memory-map the stored latents of a run, with their conditions of the cohort."""
    found = {}
    for split, name, rows_name in _SIDES:
        stored = run / f"latents-{split}.npy"
        if not stored.is_file():
            continue
        keys = read_object(stored.with_suffix(".json"), needed=["keys"])["keys"]
        if not keys:
            continue
        latents = np.load(stored, mmap_mode="r")
        # the first view of each volume, neither shifted nor mirrored
        found[name] = latents[:: len(latents) // len(keys)]
        if cohort is not None:
            found[rows_name] = _conditions(ldm, cohort, keys, found[name], stored)
    return found


def _conditions(ldm, cohort, keys, latents, stored):
    """Encode the conditions of latents by their keys."""
    rows = dict(zip(cohort.keys, cohort.rows))
    absent = [key for key in keys if key not in rows]
    if absent:
        raise InputError(
            f"{cohort.root}: has no {', '.join(absent[:5])}; expected the cohort that "
            f"{stored} was made from"
        )
    return conditions_of(latents, ldm.schema, [rows[key] for key in keys])


def _encode_missing(ldm, cohort, kept):
    """Encode a cohort's volumes where a run has no latents of them."""
    for side, name, rows_name in _SIDES:
        where = _where(ldm, cohort, side)
        if name in kept or not where.any():
            continue
        known = ldm.vqvae.label_table and cohort.label_table
        maps = cohort.label_maps() if known else None
        latents = encode_volumes(
            cohort.volumes(), ldm.vqvae, np.flatnonzero(where), label_maps=maps
        )
        rows = [row for row, here in zip(cohort.rows, where) if here]
        kept |= {name: latents, rows_name: conditions_of(latents, ldm.schema, rows)}
    return kept
