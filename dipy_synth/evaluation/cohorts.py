"""The cohorts of an evaluation, from folders: held-out and training volumes."""

from pathlib import Path

from dipy_synth.data.prepared import is_prepared_cohort
from dipy_synth.data.prepared_tables import read_participants
from dipy_synth.errors import InputError
from dipy_synth.evaluation.volumes import Volumes, load_volumes
from dipy_synth.utils.files import read_optional_object

SIDES = ("real", "synthetic", "train", "noise")


def load_cohorts(real, synthetic, *, train=None, noise=None):
    """Read the cohorts of an evaluation, all on the grid of the real one.

    Of a prepared cohort, its validation side is `real`, and its training side `train`
    unless another is given; of a prepared cohort as `train`, its training side is used.

    Parameters
    ----------
    real, synthetic : str or Path
        See `dipy_synth.evaluation.load_volumes`.
    train : str or Path, optional
        Training volumes of the model.
    noise : str or Path, optional
        Volumes that the model decodes from pure noise.

    Returns
    -------
    dict of str to Volumes
        ``real``, ``synthetic``, ``train`` and ``noise``, the last two None where there
        are none; arguments of `dipy_synth.evaluation.pipeline.evaluate`.

    Raises
    ------
    InputError
        As `load_volumes`, or if `real` and `synthetic` were exchanged.
    """
    if _is_synthetic(real) and is_prepared_cohort(Path(synthetic)):
        raise InputError(
            f"{real} has synthetic brains, and {synthetic} prepared scans; expected "
            "the real ones first"
        )
    divided = _is_divided(real)
    found = {"real": load_volumes(real, split="validation" if divided else None)}
    options = {"grid": found["real"].grid}
    found["synthetic"] = load_volumes(synthetic, **options)
    if train is None and divided:
        train = real
    if train is not None:
        side = "train" if _is_divided(train) else None
        found["train"] = load_volumes(train, split=side, **options)
    if noise is not None:
        found["noise"] = load_volumes(noise, noise=True, **options)
    return {name: found.get(name) for name in SIDES}


def describe_cohorts(cohorts):
    """Describe cohorts, equal ones equally: dict."""
    named = {name: side for name, side in cohorts.items() if isinstance(side, Volumes)}
    return {
        name: {key: side.to_config()[key] for key in ("n", "sha256", "grid")}
        for name, side in named.items()
    }


def _is_synthetic(source):
    """Return whether `dipy_synth_mri` wrote a folder: bool."""
    record = read_optional_object(Path(source) / "dataset_description.json")
    return "Sampler" in (record.get("DipySynth") or {})


def _is_divided(source):
    """Return whether a folder is a prepared cohort with both sides: bool."""
    if not is_prepared_cohort(Path(source)):
        return False
    sides = {row.get("split") for row in read_participants(source).values()}
    return {"train", "validation"} <= sides
