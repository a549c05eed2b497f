"""The command that judges a synthetic cohort."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow

from dipy_synth.errors import InputError

FEATURES = ("pca", "inception", "predictor")


class EvaluateMRIFlow(Workflow):
    """Judge a cohort of synthetic T1 brains."""

    @classmethod
    def get_short_name(cls):
        """Give the name that DIPY's combined workflows use."""
        return "evaluate_mri"

    def run(
        self,
        real,
        synthetic,
        train=None,
        noise=None,
        features="pca",
        weights=None,
        no_tissues=False,
        seed=0,
        engine="serial",
        n_jobs=1,
        scheduler=None,
        out_dir="evaluation",
    ):
        """Judge a cohort of synthetic T1 brains: not noise, not copied, as asked?

        The cohort is compared with real brains on which nothing was trained. Metrics of
        distribution stand between a floor, real against real, and a ceiling, noise;
        each volume's anatomy is judged by acceptance ranges set on the real ones;
        copies of training brains are looked for, by an audit that must find planted
        ones; and age and sex are read from volumes that were asked for with them. What
        is found goes into evaluation.json, metrics.tsv, volumes.tsv and a page to look
        at, evaluation.html. A cohort that fails is a finding: the exit status is 0.

        Parameters
        ----------
        real : string or Path
            Real volumes: what dipy_preprocess_t1 wrote, of which the validation side
            is compared with and the training side is taken as --train; or any folder
            or wildcard of prepared volumes that no model was trained on.
        synthetic : string or Path
            What is judged: what dipy_synth_mri wrote, or any folder or wildcard.
        train : string or Path, optional
            What the model was trained on; of a prepared cohort its training side.
        noise : string or Path, optional
            Volumes that the model decodes from pure noise: a second ceiling.
        features : string, optional
            What volumes are compared by: pca (of coarse voxels), inception (Keras'
            InceptionV3 on slices) or predictor (a network trained on real brains).
        weights : string or Path, optional
            Weights of InceptionV3, a file; or the predictor, a model folder or a name.
            By default those in Keras' cache, or the bundled ones.
        no_tissues : bool, optional
            Leave out tissues and ventricles, which take 2 s a volume of 2 mm.
        seed : int, optional
            Seed of all that is drawn.
        engine : string, optional
            What segments volumes in parallel: serial, joblib, dask or ray.
        n_jobs : int, optional
            Volumes at a time; -1 for all processors. For engines other than serial.
        scheduler : string, optional
            Address of a dask scheduler, such as tcp://host:8786, whose workers are to
            do it.
        out_dir : string or Path, optional
            Folder of the evaluation.
        """
        from dipy_synth.evaluation import evaluate, load_cohorts
        from dipy_synth.evaluation.cohorts import describe_cohorts
        from dipy_synth.report.evaluation_output import check_folder, write_evaluation
        from dipy_synth.utils.lock import folder_lock
        from dipy_synth.utils.parallel import check_engine, map_in_parallel

        options = {"engine": engine, "n_jobs": n_jobs, "scheduler": scheduler}
        check_engine(**options)
        extractors = make_extractors(features, weights)
        cohorts = load_cohorts(real, synthetic, train=train, noise=noise)
        request = {
            "cohorts": describe_cohorts(cohorts),
            "features": features,
            "weights": _hash(**extractors),
            "tissues": not no_tissues,
            "seed": seed,
        }
        with folder_lock(out_dir):
            check_folder(out_dir, request, force=self._force_overwrite)
            evaluation = evaluate(
                **cohorts,
                **extractors,
                tissues=not no_tissues,
                seed=seed,
                each=map_in_parallel(**options),
            )
            page = write_evaluation(evaluation, out_dir, cohorts, request=request)
        for note in evaluation.about["notes"]:
            logger.info(note)
        for finding in evaluation.findings:
            logger.info(f"{finding}")
        logger.info(f"A page to look at: {page}")
        self.last_generated_outputs = {"out_dir": str(out_dir)}


def make_extractors(features, weights=None):
    """Make what `evaluate` compares volumes by.

    Parameters
    ----------
    features : {"pca", "inception", "predictor"}
        What it is.
    weights : str or Path, optional
        Its weights, where it has any.

    Returns
    -------
    dict
        Arguments of `evaluate`: ``extractor`` and ``classes``, or ``predictor``.

    Raises
    ------
    InputError
        If it is not known, or its weights are absent.
    """
    if features not in FEATURES:
        raise InputError(
            f"features {features!r}: expected one of {', '.join(FEATURES)}"
        )
    if features == "predictor":
        from dipy_synth.nn.predictor import DEFAULT_PREDICTOR, CovariatePredictor

        return {"predictor": CovariatePredictor(weights or DEFAULT_PREDICTOR)}
    if features == "inception":
        from dipy_synth.metrics.features import InceptionFeatures

        extractor = InceptionFeatures(weights)
        classes = extractor.probabilities if extractor.has_classes else None
        return {"extractor": extractor, "classes": classes}
    if weights is not None:
        raise InputError(f"weights {weights}: PCA has none; expected --features")
    return {}


def _hash(predictor=None, extractor=None, classes=None):
    """Tell the weights that volumes are compared by: str, or None where none are."""
    if predictor is not None:
        return predictor.config["weights_sha256"]
    return None if extractor is None else extractor.hash
