"""Checks of the cohorts of an evaluation, and a search for equal volumes."""

from dataclasses import replace

from dipy_synth.data.split import LEAST_HELD_OUT
from dipy_synth.errors import InputError
from dipy_synth.evaluation.volumes import Volumes
from dipy_synth.grid import Grid

LEAST_SYNTHETIC = 4
HELD_OUT = (
    f"real brains held out from training: {LEAST_HELD_OUT} of them are a fifth of "
    f"{5 * LEAST_HELD_OUT} subjects, as dipy_preprocess_t1 keeps by default"
)


def check_cohorts(real, synthetic, train, noise):
    """Refuse cohorts that cannot be compared; return notes, str, on unusual ones.

    They are refused if they are too small, on different grids, or real and training
    volumes are not disjoint. `train` and `noise` may be None.
    """
    sides = [(real, LEAST_HELD_OUT), (synthetic, LEAST_SYNTHETIC)]
    sides += [(x, n) for x, n in ((train, 2), (noise, 4)) if x is not None]
    notes = ()
    for cohort, least in sides:
        if not isinstance(cohort, Volumes):
            raise InputError(
                f"a cohort of type {type(cohort).__name__}: expected Volumes, as "
                "load_cohorts and load_volumes return"
            )
        if len(cohort) < least:
            raise InputError(
                f"{cohort.name}: {len(cohort)} volume{'s' * (len(cohort) != 1)}; "
                f"expected {least} or more: "
                "cohorts are compared, not single volumes"
                + (f" ({HELD_OUT})" if cohort is real else "")
            )
        if cohort.grid != real.grid:
            raise InputError(
                f"{cohort.name}: on {cohort.grid}; expected the real volumes' "
                f"{real.grid}"
            )
        notes += tuple(f"{cohort.name}: {note}" for note in cohort.notes)
    known = dict(zip(real.hashes(), real.names))
    both = [known[x] for x in train.hashes() if x in known] if train is not None else []
    if both:
        raise InputError(
            f"{real.name}: {len(both)} of its volumes, the first {both[0]}, are among "
            f"the training volumes of {train.name}; expected real volumes held out"
        )
    same = sum(x in known for x in synthetic.hashes())
    if same:
        notes += (f"{same} synthetic volumes are equal to real ones compared with",)
    return notes


def find_identical(synthetic, train):
    """Find synthetic volumes that are equal to training volumes, value by value.

    Return pairs: the name of a synthetic volume, and of the training volume that it, or
    its mirror image, equals.
    """
    known = dict(zip(train.hashes(), train.names))
    sides = (synthetic, replace(synthetic, volumes=synthetic.volumes[:, ::-1]))
    pairs = zip(synthetic.names, *(side.hashes() for side in sides))
    return tuple(
        (name, known[own] if own in known else f"{known[mirrored]}, mirrored")
        for name, own, mirrored in pairs
        if own in known or mirrored in known
    )


def check_predictor(predictor, real):
    """Refuse a predictor of volumes on another grid."""
    grid = predictor.config.get("grid")
    if grid is not None and Grid.from_config(grid) != real.grid:
        raise InputError(
            f"{real.name}: on {real.grid}; expected the predictor's "
            f"{Grid.from_config(grid)}"
        )
