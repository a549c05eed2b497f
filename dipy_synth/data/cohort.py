"""A prepared cohort as the networks read it: volumes, table rows and split."""

from dataclasses import dataclass
import hashlib
import json
import logging
from pathlib import Path

import numpy as np

from dipy_synth.conditions import ConditionSchema
from dipy_synth.data.cohort_cache import LABEL_MAPS, VOLUMES, cached
from dipy_synth.data.image_cohort import ArrayCohort
from dipy_synth.data.label_table import TABLE, Labels, read_names
from dipy_synth.data.prepared import IMAGE, prepared_keys, prepared_path, subject_of
from dipy_synth.data.prepared_tables import read_rows
from dipy_synth.data.split import SPLITS, few_held_out, on_side
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.utils.files import read_object
from dipy_synth.utils.labels import hash_labels
from dipy_synth.utils.rows import VolumeRows

logger = logging.getLogger("dipy")


@dataclass(frozen=True)
class Cohort:
    """The scans of a prepared cohort, in the order of their keys.

    Parameters
    ----------
    root : Path
        The folder that ``dipy_preprocess_t1`` wrote.
    grid : Grid
        The grid of every volume.
    keys : tuple of str, (n,)
        ``sub-X[_ses-Y][_run-Z]`` of each volume.
    rows : tuple of dict, (n,)
        The table row of each volume: column name to str or None.
    split : ndarray of shape (n,), str
        "train" or "validation", the same for all volumes of a subject.
    """

    root: Path
    grid: Grid
    keys: tuple
    rows: tuple
    split: np.ndarray

    symmetric = True  # the mirror image of a brain could be a brain
    categories = ()  # columns that are categories though they look like numbers

    @classmethod
    def load(cls, folder):
        """Read the tables of a prepared cohort; no volume is read.

        Parameters
        ----------
        folder : str or Path
            The prepared cohort.

        Returns
        -------
        Cohort

        Raises
        ------
        InputError
            If the folder is not a prepared cohort, is empty, or a subject is
            missing from participants.tsv.
        """
        root = Path(folder)
        description = read_object(root / "dataset_description.json").get("DipySynth")
        if not isinstance(description, dict) or "Grid" not in description:
            raise InputError(
                f"{root}: not a prepared cohort (dataset_description.json has no "
                "grid under DipySynth); expected what dipy_preprocess_t1 wrote"
            )
        keys = tuple(prepared_keys(root))
        if not keys:
            raise InputError(f"{root}: no prepared volume (sub-*/anat/*{IMAGE})")
        rows = _rows(root, keys)
        split = np.array([row.pop("split") for row in rows])
        return cls(root, Grid.from_config(description["Grid"]), keys, rows, split)

    @property
    def shape(self):
        """Shape of every volume: tuple of int."""
        return self.grid.shape

    @property
    def preprocessing(self):
        """Preprocessing of the scans, of `PreprocessConfig.to_config`: dict or None."""
        return self._description["DipySynth"].get("Preprocessing")

    @property
    def license(self):
        """Licence of the scans: str or None."""
        return self._description.get("License")

    @property
    def _description(self):
        return read_object(self.root / "dataset_description.json")

    @property
    def subjects(self):
        """Subject label of each volume, without ``sub-``: tuple of str, (n,)."""
        return tuple(subject_of(key) for key in self.keys)

    @property
    def label_table(self):
        """The labels of the cohort's label maps: Labels, or None without any."""
        if not (self.root / TABLE).is_file():
            return None
        names = read_names(self.root)
        return Labels.of(names, names)

    @property
    def paths(self):
        """File of each volume: list of Path, (n,)."""
        return [prepared_path(self.root, key) for key in self.keys]

    def stamp(self):
        """Return name, size and time of each file, label maps included: list.

        Each is [str, int, int], or None where a volume has no label map.
        """
        kinds = (VOLUMES, LABEL_MAPS) if self.label_table else (VOLUMES,)
        return [stamp for kind in kinds for stamp in kind.stamp(self)]

    def where(self, split=None):
        """Return the mask of one side's volumes (all by default): bool, (n,)."""
        return on_side(self.split, split)

    def volumes(self, split=None):
        """Return the volumes, from a cache on disk that is rebuilt when stale.

        Where the cohort may only be read, the cache is a temporary file.

        Parameters
        ----------
        split : {"train", "validation"}, optional
            The side; all volumes by default.

        Returns
        -------
        ndarray or VolumeRows of shape (n, I, J, K), float16
            In [0, 1], the background exactly 0; the file is memory-mapped.
        """
        return self._side(cached(self), split)

    def label_maps(self, split=None):
        """Return the label maps of the volumes, from a cache as that of `volumes`.

        Parameters
        ----------
        split : {"train", "validation"}, optional
            The side; all by default.

        Returns
        -------
        ndarray or VolumeRows of shape (n, I, J, K), int32
            Values of labels; `UNKNOWN` everywhere where a volume has no label map.
        """
        return self._side(cached(self, LABEL_MAPS), split)

    def _side(self, stored, split):
        if split is None:
            return stored
        return VolumeRows(stored, np.flatnonzero(self.where(split)))


def _rows(root, keys):
    """Return the row of each volume, checked for its side of the split."""
    rows = read_rows(root, keys)
    for key, row in zip(keys, rows):
        if row.get("split") not in SPLITS:
            raise InputError(
                f"{root / 'participants.tsv'}: {key.split('_')[0]} has split "
                f"{row.get('split')!r}; expected a row with train or validation"
            )
    return tuple(rows)


def load_cohort(cohort):
    """Load a cohort by its path, or pass it on: Cohort or ArrayCohort."""
    if isinstance(cohort, (Cohort, ArrayCohort)):
        return cohort
    kind = ArrayCohort if Path(cohort).is_file() else Cohort
    return kind.load(cohort)


def open_cohort(cohort):
    """Load a cohort by its path or pass it on; refuse one without training data."""
    cohort = load_cohort(cohort)
    if not cohort.where("train").any():
        raise InputError(
            f"{cohort.root}: no training subject (participants.tsv, column split)"
        )
    if cohort.grid is not None and (words := few_held_out(cohort.split.tolist())):
        logger.warning(words)
    return cohort


def cohort_config(cohort):
    """Return what a model keeps of its cohort: grid, preprocessing, split, licence.

    With label maps, also the table of ``labels``. Labels of subjects are salted hashes,
    see `dipy_synth.utils.labels`.
    """
    salt = _salt(cohort)
    labels = cohort.label_table
    return {
        "grid": cohort.grid and cohort.grid.to_config(),
        "preprocessing": cohort.preprocessing,
        "license": cohort.license,
        "split": {
            "salt": salt,
            **{side: hash_labels(subjects_of(cohort, side), salt) for side in SPLITS},
        },
        **({"labels": labels.to_config()} if labels else {}),
    }


def subjects_of(cohort, split):
    """Return the subjects on one side of the split: set of str."""
    return {s for s, kept in zip(cohort.subjects, cohort.where(split)) if kept}


def _salt(cohort):
    """Return a salt that all models of a cohort share: 16 hexadecimal digits."""
    volumes = cohort.volumes()
    digest = hashlib.sha256(f"{len(volumes)}".encode())
    digest.update(np.ascontiguousarray(volumes[0]))
    return digest.hexdigest()[:16]


def rows_of(cohort, split):
    """Return the table rows of one side of the split: list of dict."""
    return [row for row, kept in zip(cohort.rows, cohort.where(split)) if kept]


def fit_schema(cohort, names):
    """Fit a condition schema to the training subjects of a cohort: ConditionSchema."""
    rows = rows_of(cohort, "train")
    return ConditionSchema.fit(rows, names, categories=cohort.categories)


def check_rows(schema, cohort):
    """Refuse a cohort with values that a schema cannot encode; name the volume."""
    for key, row, trained in zip(cohort.keys, cohort.rows, cohort.where("train")):
        try:
            schema.encode([row])
        except InputError as error:
            side = "training" if trained else "validation"
            raise InputError(
                f"{key} ({side} side): {error}, as training saw it; keep subjects of "
                "each value on both sides (dipy_preprocess_t1 --stratify), or write "
                "n/a for a rare one"
            ) from None


def fingerprint(cohort, names=()):
    """Hash the training data of a run: str.

    These are grid, preprocessing, split, volumes, label maps, and the values of the
    columns `names`. A run must not resume with other subjects than it began with, since
    its validation subjects could have been trained on, nor with other scans or values.
    """
    config = cohort_config(cohort)
    content = {name: config[name] for name in ("grid", "preprocessing", "split")}
    content["keys"] = list(cohort.keys)
    content["values"] = [[row.get(name) for name in names] for row in cohort.rows]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for volume in cohort.volumes():
        digest.update(np.ascontiguousarray(volume))
    for label_map in cohort.label_maps() if cohort.label_table else ():
        digest.update(np.ascontiguousarray(label_map))
    return digest.hexdigest()[:16]


def persistent_config(config):
    """Select the keys of `cohort_config` from the configuration of a model: dict."""
    names = ("grid", "preprocessing", "license", "split", "labels")
    return {name: config[name] for name in names if name in config}
