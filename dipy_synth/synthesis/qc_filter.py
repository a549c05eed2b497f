"""The gate: samples that are no brains, or copies of training brains, are not let out.

What it judges by is made when a model is trained and lies in the model's folder, as
arrays in ``gate.npz`` with their hash in ``config.json``: the pass marks that held-out
real brains have set, and coarse training brains with the likeness that held-out ones
reach. So it works where the training data are not.
"""

from dataclasses import dataclass

from dipy.utils.logging import logger
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.memorization import VoxelSearch, copy_threshold
from dipy_synth.metrics.verdicts import LEAST, PassMarks, not_noise, set_pass_marks
from dipy_synth.store import add_arrays, load_arrays, read_config

_NAME = "gate"
COPY = "likeness to a training brain"
_FACTOR, _REACH = 4, 2  # of the search: blocks of 8 mm, shifts of 4 mm at 2 mm
_COPIES = 0.05  # of volumes like held-out ones may be taken for copies


@dataclass(frozen=True)
class Gate:
    """Say of a volume what speaks against letting it out.

    Tissues are not segmented, which would take 2 s a volume: the figures are those that
    `dipy_synth.metrics.anatomy.describe_brain` gives without them.

    Parameters
    ----------
    marks : PassMarks
        What a volume must show to pass as a brain.
    search : VoxelSearch
        Nearest training brains.
    threshold : float
        Likeness to a training brain above which a volume is a copy.
    sha256 : str
        Hash of the file it was read from; empty for one that was not.
    """

    marks: PassMarks
    search: VoxelSearch
    threshold: float
    sha256: str = ""

    @classmethod
    def fit(cls, cohort):
        """Set marks and threshold on a cohort.

        They are set on the validation volumes or, where there are fewer than 8, on the
        training volumes, each compared with those of other subjects.

        Parameters
        ----------
        cohort : Cohort
            The prepared cohort that a model was trained on.

        Returns
        -------
        Gate

        Raises
        ------
        InputError
            If there are fewer than 8 volumes on either side.
        """
        train, held_out = cohort.volumes("train"), cohort.volumes("validation")
        if max(len(train), len(held_out)) < LEAST:
            raise InputError(
                f"{cohort.root}: {len(train)} training and {len(held_out)} validation "
                f"volumes; expected {LEAST} or more on one side, to set marks on"
            )
        enough = len(held_out) >= LEAST
        search = VoxelSearch(train, factor=_FACTOR, reach=_REACH)
        subjects = np.asarray(cohort.subjects)[cohort.where("train")]
        real = search(held_out) if enough else search(train, subjects=subjects)
        threshold, _ = copy_threshold(real.likeness, alpha=_COPIES)
        marks = set_pass_marks(
            held_out if enough else train, grid=cohort.grid, tissues=False
        )
        return cls(marks, search, threshold)

    @classmethod
    def load(cls, model):
        """Read the gate of a model.

        Parameters
        ----------
        model : str or Path
            A model's folder, a run's folder, or the name of a bundled model.

        Returns
        -------
        Gate

        Raises
        ------
        InputError
            If the model has none; the message says how to make it.
        """
        folder, config = read_config(model, kinds=("ldm",))
        if not has_gate(config):
            raise InputError(
                f"{folder}: this model has no gate. Training gives one where the "
                f"cohort has {LEAST} or more brains on one side of the split; for an "
                "older model, dipy_synth.synthesis.qc_filter.add_gate(model, "
                "prepared_cohort) makes it from the cohort that the model was trained "
                "on"
            )
        arrays = load_arrays(folder, config, _NAME)
        bands = zip(arrays["figures"].tolist(), arrays["bands"].tolist())
        marks = PassMarks(
            grid=Grid.from_config(config["grid"]),
            bands={name: tuple(band) for name, band in bands},
            mean=arrays["mean"].astype("float32"),
            power=float(arrays["power"]),
            tissues=False,
            n=int(arrays["n"]),
        )
        search = VoxelSearch.from_arrays(arrays, factor=_FACTOR, reach=_REACH)
        told = config[f"{_NAME}_sha256"]
        return cls(marks, search, float(arrays["threshold"]), told)

    def to_arrays(self):
        """Give all it is made of, as arrays: dict of str to ndarray."""
        return {
            "figures": np.array([*self.marks.bands]),
            "bands": np.array([*self.marks.bands.values()]),
            "mean": self.marks.mean.astype("float16"),
            "power": np.array(self.marks.power),
            "n": np.array(self.marks.n),
            "threshold": np.array(self.threshold),
            **self.search.to_arrays(),
        }

    def __call__(self, volume):
        """Judge a volume.

        Parameters
        ----------
        volume : array, (I, J, K)
            In [0, 1].

        Returns
        -------
        list of str
            What speaks against it, ``figure: value; what real brains have``; empty for
            a volume that may pass.
        """
        reasons = [*not_noise(volume[None], self.marks)[0].reasons]
        likeness = self.search(volume[None]).likeness[0]
        if likeness > self.threshold:
            reasons.append(
                f"{COPY}: {likeness:.4g}; real brains at most {self.threshold:.4g}"
            )
        return reasons


def has_gate(config):
    """Tell by a model's configuration whether it has a gate."""
    return f"{_NAME}_sha256" in config


def add_gate(model, cohort):
    """Make the gate of a model, and put it into the model's folder.

    Parameters
    ----------
    model : str or Path
        The model's folder, or the run's. An earlier gate there is replaced.
    cohort : str, Path or Cohort
        The prepared cohort that the model was trained on.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the cohort is not that of the model, or is too small.
    """
    from dipy_synth.data.cohort import Cohort

    cohort = cohort if isinstance(cohort, Cohort) else Cohort.load(cohort)
    folder, config = read_config(model, kinds=("ldm",))
    sides = {
        side: {s for s, there in zip(cohort.subjects, cohort.where(side)) if there}
        for side in ("train", "validation")
    }
    told = {side: set(config["split"][side]) for side in sides}
    if cohort.grid.to_config() != config["grid"] or sides != told:
        raise InputError(
            f"{cohort.root}: another grid, or other subjects, than those that {folder} "
            "was trained on; expected its own cohort"
        )
    return add_arrays(folder, _NAME, Gate.fit(cohort).to_arrays())


def add_gate_if_possible(folder, cohort):
    """Give a new model its gate, or tell why it cannot have one."""
    if cohort.grid is None:
        return
    try:
        add_gate(folder, cohort)
    except InputError as error:
        logger.info("no gate for the model: %s", error)


def gate_arrays(model):
    """Read a model's gate, to put it into a copy: dict, or None if it has none."""
    folder, config = read_config(model, kinds=("ldm",))
    return load_arrays(folder, config, _NAME) if has_gate(config) else None


def put_gate(folder, arrays):
    """Put what `gate_arrays` read into a model folder."""
    add_arrays(folder, _NAME, arrays)
