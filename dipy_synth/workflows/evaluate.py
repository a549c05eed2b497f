"""The command dipy_evaluate_mri."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow


class EvaluateMRIFlow(Workflow):
    """Evaluate a cohort of synthetic T1 brains."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
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
        show_nearest=False,
        downstream=False,
        seed=0,
        engine="serial",
        n_jobs=1,
        scheduler=None,
        out_dir="evaluation",
    ):
        """Evaluate synthetic T1 brains: realism, anatomy, copies and conditions.

        The cohort is compared with real brains that no model was trained on. Distances
        between distributions are given with a floor (real against real) and a ceiling
        (noise); the anatomy of each volume is compared with acceptance ranges of the
        real ones; copies of training brains are searched for by an audit that must
        find planted copies; age and sex are predicted from conditional samples. The
        results are evaluation.json, metrics.tsv, volumes.tsv and the page
        evaluation.html. The exit status does not depend on the results.

        Parameters
        ----------
        real : string or Path
            Real volumes: a cohort that dipy_preprocess_t1 wrote (its validation side is
            compared with, its training side is the default of --train), or a folder or
            wildcard of prepared volumes that no model was trained on.
        synthetic : string or Path
            The volumes to evaluate: what dipy_synth_mri wrote, a folder or a wildcard.
        train : string or Path, optional
            The training volumes of the model; of a prepared cohort its training side.
        noise : string or Path, optional
            Volumes that the model decodes from pure noise: a second ceiling.
        features : string, optional
            Features for the distances: pca (of coarse voxels), inception (Keras'
            InceptionV3 on slices) or predictor (a network trained on real brains).
        weights : string or Path, optional
            Weights file of InceptionV3, or folder or name of the predictor. If None,
            those in the cache of Keras, or the bundled predictor.
        no_tissues : bool, optional
            Skip the segmentation of tissues and ventricles (2 s a volume at 2 mm).
        show_nearest : bool, optional
            Name and show the training brains that synthetic ones are nearest to. The
            folder is then for those alone who may have the scans.
        downstream : bool, optional
            Train predictors of age, and of labels where there are label maps, on the
            real training brains, on the synthetic ones and on both, test them on the
            held-out real ones, and say whether the synthetic brains helped (ceiling: as
            many more real brains). Each cohort needs 10 brains with an age, or with a
            label map.
        seed : int, optional
            Random seed.
        engine : string, optional
            Parallel engine of the segmentation: serial, joblib, dask or ray.
        n_jobs : int, optional
            Number of volumes at a time, for an engine other than serial; -1 uses all
            processors.
        scheduler : string, optional
            Address of a dask scheduler, such as tcp://host:8786, whose workers do the
            segmentation.
        out_dir : string or Path, optional
            Output folder.
        """
        from dipy_synth.evaluation import evaluate, load_cohorts
        from dipy_synth.evaluation.cohorts import describe_cohorts
        from dipy_synth.evaluation.extractors import hash_of, make_extractors
        from dipy_synth.report.evaluation_output import (
            evaluation_folder,
            write_evaluation,
        )
        from dipy_synth.utils.lock import folder_lock
        from dipy_synth.utils.parallel import ParallelMap, check_engine

        options = {"engine": engine, "n_jobs": n_jobs, "scheduler": scheduler}
        check_engine(**options)
        extractors = make_extractors(features, weights)
        cohorts = load_cohorts(real, synthetic, train=train, noise=noise)
        request = {
            "cohorts": describe_cohorts(cohorts),
            "features": features,
            "weights": hash_of(**extractors),
            "tissues": not no_tissues,
            "show_nearest": bool(show_nearest),
            "seed": seed,
        }
        if downstream:  # a request of before this option was without it
            request["downstream"] = True
        with folder_lock(out_dir):
            evaluation_folder(out_dir).check(request, force=self._force_overwrite)
            evaluation = evaluate(
                **cohorts,
                **extractors,
                tissues=not no_tissues,
                downstream=bool(downstream),
                seed=seed,
                each=ParallelMap(**options),
            )
            page = write_evaluation(
                evaluation,
                out_dir,
                cohorts,
                request=request,
                show_nearest=bool(show_nearest),
            )
        for note in evaluation.about["notes"]:
            logger.info(note)
        for finding in evaluation.findings:
            logger.info(f"{finding}")
        logger.info(f"Evaluation: {page}")
        self.last_generated_outputs = {"out_dir": str(out_dir)}
