"""CovariatePredictor: predicts age, sex or a digit from a volume."""

from pathlib import Path

from keras import ops
import numpy as np
from scipy.special import softmax

from dipy_synth.conditions import ConditionSchema
from dipy_synth.data.arrays import as_volumes
from dipy_synth.data.augment import Augmentation
from dipy_synth.data.cohort import (
    check_rows,
    cohort_config,
    fingerprint,
    fit_schema,
    open_cohort,
    persistent_config,
    rows_of,
)
from dipy_synth.data.dataset import VolumeDataset
from dipy_synth.data.laterality import names_a_side
from dipy_synth.errors import InputError
from dipy_synth.metrics.conditioning import follows_category, follows_number
from dipy_synth.networks.architectures import check_arguments
from dipy_synth.networks.conversion import in_batches, need_weights, to_network
from dipy_synth.networks.predictor_network import PredictorNetwork
from dipy_synth.nn.base import Wrapper
from dipy_synth.store import load_networks, read_config
from dipy_synth.training import TrainingSettings, building, is_fresh, train
from dipy_synth.utils.lock import locks
from dipy_synth.utils.random import random_stream

_LEAST = 4  # values, for a correlation
DEFAULT_PREDICTOR = "predictor-ixi-2mm"


class CovariatePredictor(Wrapper):
    """Predict covariates from volumes, and compute features to compare cohorts.

    It is trained on real training subjects only, independent of the evaluated volumes.
    It is an extractor as those of `dipy_synth.metrics.features`: cohorts are compared
    by a network's features :footcite:p:`heusel2017fid`.

    Parameters
    ----------
    model : str or Path, optional
        A model folder or the name of a bundled model; by default the bundled one. None
        makes a model without weights, for `fit`.
    verbose : bool, optional
        Log progress.

    Attributes
    ----------
    network : PredictorNetwork or None
        The network; None before `fit` or loading.
    schema : ConditionSchema or None
        The columns it predicts.
    config : dict
        Grid, split and training; ``weights_sha256`` identifies it in a report.

    References
    ----------
    .. footbibliography::

    Examples
    --------
    >>> from dipy_synth.nn.predictor import CovariatePredictor
    >>> predictor = CovariatePredictor()
    >>> predictor.predict(volumes)["age"]  # doctest: +SKIP
    """

    default_model = DEFAULT_PREDICTOR

    def __init__(self, model=DEFAULT_PREDICTOR, *, verbose=False):
        self.schema = None
        super().__init__(model, verbose=verbose)

    def load_model_weights(self, model):
        """Load a model folder, or a bundled model by its name."""
        folder, config = read_config(model, kinds=("predictor",))
        makers = {"predictor": PredictorNetwork.from_config}
        self.network = load_networks(folder, config, makers)[0]["predictor"]
        self.config, self.folder = config, Path(folder).resolve()
        self.schema = ConditionSchema.from_config(config["conditions"])

    @locks("run_dir")
    def fit(
        self,
        cohort,
        *,
        run_dir,
        settings=None,
        conditions=None,
        force=False,
        network=None,
    ):
        """Train on a prepared cohort, or resume an interrupted run.

        Parameters
        ----------
        cohort : str, Path, Cohort or ArrayCohort
            A prepared cohort, or a file of images and labels. Its training subjects
            are trained on; its validation subjects are for early stopping.
        run_dir : str or Path
            Folder of the run; the model is written to its ``model`` folder.
        settings : TrainingSettings, optional
            Settings of the training; `predictor_training` by default.
        conditions : sequence of str, optional
            Columns of ``participants.tsv`` to predict, numbers and categories, whose
            values may be missing. By default age and sex; label of a file of images.
        force : bool, optional
            Overwrite an existing run, instead of resuming it.
        network : dict, optional
            Arguments of `PredictorNetwork`, such as ``features``.

        Returns
        -------
        list of dict
            The history, one row per epoch.

        Raises
        ------
        InputError
            If a column is absent, the cohort has no training subject, an argument is
            unknown, or the folder holds another run.
        """
        cohort, run_dir = open_cohort(cohort), Path(run_dir)
        settings = settings or TrainingSettings(**predictor_training(cohort))
        if conditions is None:
            conditions = ("label",) if cohort.grid is None else ("age", "sex")
        self.schema = fit_schema(cohort, conditions)
        check_rows(self.schema, cohort)
        self.config, self.folder = cohort_config(cohort), None
        categories = [len(c.categories) for c in self.schema.columns]
        check_arguments(PredictorNetwork, network or {})
        chosen = {**_blocks(cohort.shape), "where": names_a_side(self.schema)}
        with building(settings):
            self.network = PredictorNetwork(
                cohort.shape, categories=categories, **{**chosen, **(network or {})}
            )
        data = self.batches(cohort, "train", settings)
        if is_fresh(run_dir, force=force):
            rng = random_stream("predictor: first images", seed=settings.seed)
            chosen = rng.permutation(len(data.volumes))
            chosen = np.sort(chosen[:2000])
            images = to_network(data.volumes[chosen], cohort.shape)
            self.network.initialize(images, data.targets[chosen])
        history = train(
            self.network,
            data,
            run_dir=run_dir,
            settings=settings,
            validation=self.batches(cohort, "validation", settings),
            about={
                "cohort": fingerprint(cohort, self.schema.names),
                "conditions": self.schema.to_config(),
            },
            force=force,
        )
        self._write(run_dir, cohort)
        return history

    def batches(self, cohort, split, settings):
        """Return batches of images and targets; None without any."""
        volumes = cohort.volumes(split)
        if not len(volumes):
            return None
        brains, training = cohort.grid is not None, split == "train"
        targets = self.schema.encode(rows_of(cohort, split))
        # in a mirror image a tumour is on the other side
        flip = 0.5 if cohort.symmetric and not names_a_side(self.schema) else 0
        augment = Augmentation(flip=flip, gamma=0.1, shift=1 if brains else 2)
        return VolumeDataset(
            volumes,
            batch_size=settings.batch_size,
            shuffle=training,
            augment=augment if training else None,
            seed=settings.seed,
            targets=targets,
        )

    def save(self, folder, *, dtype="float16", card=None):
        """Write a model folder, by default in half precision, see `Wrapper.save`."""
        return super().save(folder, dtype=dtype, card=card)

    def _content(self):
        networks = {"predictor": need_weights(self.network)}
        config = persistent_config(self.config)
        config["conditions"] = self.schema.to_config()
        return {"kind": "predictor", "config": config, "networks": networks}

    def __call__(self, volumes, *, batch_size=8):
        """Compute the features of volumes: ndarray of shape (n, d), float32.

        Volumes are prepared, in [0, 1], see `dipy_synth.data.arrays.as_volumes`;
        `batch_size` of them are read at a time.
        """
        return self._run(need_weights(self.network).describe, volumes, batch_size)

    def predict(self, volumes, *, batch_size=8):
        """Predict the columns.

        Parameters
        ----------
        volumes : array of shape (n, *shape), or sequence of images
            Prepared volumes in [0, 1], see `dipy_synth.data.arrays.as_volumes`.
        batch_size : int, optional
            Number of volumes at a time.

        Returns
        -------
        dict
            Column to an ndarray of shape (n,), float64, in its unit, for numbers, and
            to a list of str for categories.
        """
        outputs = self._outputs(volumes, batch_size)
        found = {}
        for column in self.schema.columns:
            values = outputs[column.name]
            values = values.argmax(axis=1) if column.categories else values[:, 0]
            found[column.name] = column.decode(values)
        return found

    def probabilities(self, volumes, *, column=None, batch_size=8):
        """Compute the probabilities of the categories of a column.

        Parameters
        ----------
        volumes : array of shape (n, *shape), or sequence of images
            Prepared volumes in [0, 1], see `dipy_synth.data.arrays.as_volumes`.
        column : str, optional
            Name of the column; by default the only one.
        batch_size : int, optional
            Number of volumes at a time.

        Returns
        -------
        ndarray of shape (n, n_categories), float64
            In the order of the column's `categories`; rows sum to 1.

        Raises
        ------
        InputError
            If there is no such column of categories, or none is named of several.
        """
        need_weights(self.network)
        there = [c.name for c in self.schema.columns if c.categories]
        chosen = there if column is None else [column]
        if len(chosen) != 1 or chosen[0] not in there:
            raise InputError(
                f"column {column}: expected one of those with categories, "
                f"{', '.join(there) or 'and this predictor has none'}"
            )
        logits = self._outputs(volumes, batch_size)[chosen[0]].astype("float64")
        return softmax(logits, axis=1)

    def evaluate(self, cohort, split="validation"):
        """Evaluate the predictions on one side of a cohort.

        Parameters
        ----------
        cohort : str, Path, Cohort or ArrayCohort
            The cohort, with the columns that are predicted.
        split : {"validation", "train"}, optional
            The side.

        Returns
        -------
        dict
            Column to a `NumberFollowed` for numbers, and a `CategoryFollowed` for
            categories, over the subjects with a known value; without columns of fewer
            than 4 such subjects.
        """
        cohort = open_cohort(cohort)
        encoded = self.schema.encode(rows_of(cohort, split)).T
        predicted, found = self.predict(cohort.volumes(split)), {}
        for column, values in zip(self.schema.columns, encoded):
            there = ~np.isnan(values)
            if there.sum() < _LEAST:
                continue
            known = np.asarray(column.decode(values[there]))
            given = np.asarray(predicted[column.name])[there]
            follows = follows_category if column.categories else follows_number
            found[column.name] = follows(known, given)
        return found

    def _outputs(self, volumes, batch_size):
        """Run the network: dict of column to ndarray of shape (n, outputs)."""
        outputs = self._run(need_weights(self.network), volumes, batch_size)
        return dict(zip(self.schema.names, self.network.split(outputs)))

    def _run(self, function, volumes, batch_size):
        """Apply a function of the network in batches."""
        shape, volumes = self.network.shape, as_volumes(volumes)
        if not len(volumes):
            raise InputError("no volume: expected one or more")
        return in_batches(
            lambda batch: ops.cast(function(to_network(batch, shape)), "float32"),
            volumes,
            batch_size,
        )


def predictor_training(cohort):
    """Return arguments of `TrainingSettings` for few brains or many small images."""
    patience = 3 if cohort.where("validation").any() else 0
    common = {"patience": patience, "weight_decay": 0.01}
    if cohort.grid is not None:
        return {"epochs": 8, "batch_size": 8, "learning_rate": 5e-4, **common}
    return {"epochs": 8, "batch_size": 64, "learning_rate": 3e-3, **common}


def _blocks(shape):
    """Choose the blocks of local histograms: about 10 on the short side."""
    shrink = 2 if len(shape) == 3 and min(shape) >= 32 else 1
    return {"shrink": shrink, "block": max(1, round(min(shape) / shrink / 10))}
