"""The QC filter: reject samples that are no brains, or copies of training brains.

Its data are fitted when a model is trained and stored in the model's folder, as arrays
with their hash in ``config.json``, so that it works without the training data: the
acceptance ranges of held-out real brains and, only if requested, coarse training brains
with the similarity threshold of held-out ones.
"""

from dataclasses import dataclass

from dipy.utils.logging import logger
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.memorization import VoxelSearch, copy_threshold
from dipy_synth.metrics.verdicts import (
    LEAST,
    AcceptanceRanges,
    check_brains,
    fit_acceptance_ranges,
)
from dipy_synth.store import add_arrays, load_arrays, read_config
from dipy_synth.utils.labels import is_split_of

_NAME = "qc_filter"
COPY = "similarity to a training brain"
_FACTOR, _REACH = 4, 2  # blocks of 8 mm, shifts of 4 mm at 2 mm
_COPIES = 0.05  # fraction of volumes like held-out ones that may be flagged as copies
_NOTE = """
The QC filter holds the training brains, in blocks of 4 voxels: keep this folder where
the scans are.
"""


@dataclass(frozen=True)
class QCFilter:
    """QC filter of single volumes; a call returns the reasons for rejection.

    Tissues are not segmented, which would take 2 s a volume: the metrics are those of
    `dipy_synth.metrics.anatomy.describe_brain` without them.

    Parameters
    ----------
    ranges : AcceptanceRanges
        Acceptance ranges of the metrics of a brain.
    search : VoxelSearch or None
        Search of nearest training brains; None for a filter without it.
    threshold : float
        Similarity to a training brain above which a volume is a copy.
    sha256 : str
        Hash of its file; empty where it was not read from one.
    """

    ranges: AcceptanceRanges
    search: VoxelSearch | None = None
    threshold: float = np.inf
    sha256: str = ""

    @classmethod
    def fit(cls, cohort, *, copies=False):
        """Fit ranges and threshold to the validation volumes of a cohort.

        Where there are fewer than 8, training volumes serve, each compared with those
        of other subjects.

        Parameters
        ----------
        cohort : Cohort
            The prepared cohort that a model was trained on.
        copies : bool, optional
            Search for copies of training brains, too. The filter then holds the
            training brains themselves, in blocks of 4 voxels.

        Returns
        -------
        QCFilter

        Raises
        ------
        InputError
            If there are fewer than 8 volumes on either side.
        """
        train, held_out = cohort.volumes("train"), cohort.volumes("validation")
        if max(len(train), len(held_out)) < LEAST:
            raise InputError(
                f"{cohort.root}: {len(train)} training and {len(held_out)} validation "
                f"volumes; expected {LEAST} or more on one side, to fit ranges"
            )
        enough = len(held_out) >= LEAST
        ranges = fit_acceptance_ranges(
            held_out if enough else train, grid=cohort.grid, tissues=False
        )
        if not copies:
            return cls(ranges)
        search = VoxelSearch(train, factor=_FACTOR, reach=_REACH)
        subjects = np.asarray(cohort.subjects)[cohort.where("train")]
        real = search(held_out) if enough else search(train, subjects=subjects)
        threshold, _ = copy_threshold(real.similarity, alpha=_COPIES)
        return cls(ranges, search, threshold)

    @classmethod
    def load(cls, model):
        """Read the QC filter of a model.

        Parameters
        ----------
        model : str or Path
            A model's folder, a run's folder, or the name of a bundled model.

        Returns
        -------
        QCFilter

        Raises
        ------
        InputError
            If the model has none; the message explains how to add it.
        """
        folder, config = read_config(model, kinds=("ldm",))
        if not has_qc_filter(config):
            raise InputError(
                f"{folder}: this model has no QC filter. Training adds one where the "
                f"cohort has {LEAST} or more brains on one side of the split; for an "
                "older model, dipy_synth.synthesis.qc_filter.add_qc_filter(model, "
                "prepared_cohort) makes it from the cohort that the model was trained "
                "on"
            )
        arrays = load_arrays(folder, config, _NAME)
        limits = zip(arrays["metrics"].tolist(), arrays["limits"].tolist())
        ranges = AcceptanceRanges(
            grid=Grid.from_config(config["grid"]),
            limits={name: tuple(band) for name, band in limits},
            mean=arrays["mean"].astype("float32"),
            power=float(arrays["power"]),
            tissues=False,
            n=int(arrays["n"]),
        )
        sha256_of_file = config[f"{_NAME}_sha256"]
        if "train" not in arrays:
            return cls(ranges, sha256=sha256_of_file)
        search = VoxelSearch.from_arrays(arrays, factor=_FACTOR, reach=_REACH)
        return cls(ranges, search, float(arrays["threshold"]), sha256_of_file)

    def to_arrays(self):
        """Return its data as arrays: dict of str to ndarray."""
        found = {
            "metrics": np.array([*self.ranges.limits]),
            "limits": np.array([*self.ranges.limits.values()]),
            "mean": self.ranges.mean.astype("float16"),
            "power": np.array(self.ranges.power),
            "n": np.array(self.ranges.n),
        }
        if self.search is not None:
            found |= {"threshold": np.array(self.threshold), **self.search.to_arrays()}
        return found

    def __call__(self, volume):
        """Check a volume (I, J, K) in [0, 1]: list of str.

        These are the reasons for rejection, ``metric: value; range of real brains``.
        """
        reasons = [*check_brains(volume[None], self.ranges)[0].reasons]
        if self.search is None:
            return reasons
        similarity = self.search(volume[None]).similarity[0]
        if similarity > self.threshold:
            reasons.append(
                f"{COPY}: {similarity:.4g}; real brains at most {self.threshold:.4g}"
            )
        return reasons


def has_qc_filter(config):
    """Return whether a model has a QC filter, by its configuration."""
    return f"{_NAME}_sha256" in config


def add_qc_filter(model, cohort, *, copies=False):
    """Fit the QC filter of a model, and add it to the model's folder.

    Parameters
    ----------
    model : str or Path
        The model's folder, or the run's. An earlier QC filter there is replaced.
    cohort : str, Path or Cohort
        The prepared cohort that the model was trained on.
    copies : bool, optional
        See `QCFilter.fit`. The folder then holds the training brains in blocks of 4
        voxels, as its ``README.md`` says: do not share it unless the scans may be
        shared.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the cohort is not that of the model, or is too small.
    """
    from dipy_synth.data.cohort import Cohort, subjects_of

    cohort = cohort if isinstance(cohort, Cohort) else Cohort.load(cohort)
    folder, config = read_config(model, kinds=("ldm",))
    sides = [subjects_of(cohort, side) for side in ("train", "validation")]
    same = is_split_of(config["split"], *sides)
    if cohort.grid.to_config() != config["grid"] or not same:
        raise InputError(
            f"{cohort.root}: another grid, or other subjects, than those that {folder} "
            "was trained on; expected its own cohort"
        )
    arrays = QCFilter.fit(cohort, copies=copies).to_arrays()
    return add_arrays(folder, _NAME, arrays, card=_card(folder, copies))


def _card(folder, copies):
    """Return the README of a model, with or without the note on training brains."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.replace(_NOTE, "") + _NOTE * copies


def add_qc_filter_if_possible(folder, cohort, *, copies=False):
    """Add a QC filter to a new model, or log why it cannot have one."""
    if cohort.grid is None:
        return
    try:
        add_qc_filter(folder, cohort, copies=copies)
    except InputError as error:
        logger.info("no QC filter for the model: %s", error)


def qc_filter_files(folder, config):
    """Read the files of a model's QC filter, if any, to save them with a copy: dict."""
    if folder is None or not has_qc_filter(config):
        return {}
    return {_NAME: load_arrays(folder, config, _NAME)}
