"""The command dipy_train_predictor."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow


class TrainPredictorFlow(Workflow):
    """Train the covariate predictor."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
        return "train_predictor"

    def run(
        self,
        prepared,
        conditions=None,
        epochs=None,
        batch_size=None,
        learning_rate=None,
        precision=None,
        accumulation=None,
        patience=None,
        tensorboard=False,
        devices=1,
        seed=0,
        out_dir="predictor",
    ):
        """Train a network that predicts age, sex or a digit from a volume.

        It is trained on the training subjects and evaluated on the validation subjects.
        dipy_evaluate_mri --features predictor compares cohorts by its features, and
        samples with their conditions by its predictions. The run's folder has the
        curves, a checkpoint of the last epoch and the model in its folder "model". The
        same command resumes an interrupted run; --force starts anew.

        Parameters
        ----------
        prepared : string or Path
            A cohort that dipy_preprocess_t1 wrote, or a file of images and labels, as
            for dipy_train_vqvae.
        conditions : variable string, optional
            Columns of participants.tsv to predict, numbers or categories; values may be
            missing. If None, age and sex, or label of a file of images.
        epochs : int, optional
            Number of epochs. If None, 8.
        batch_size : int, optional
            Number of volumes in a batch. If None, 8 brains or 64 small images.
        learning_rate : float, optional
            Peak learning rate. If None, 5e-4 for brains and 3e-3 for images.
        precision : string, optional
            float32, mixed_bfloat16, mixed_float16, or auto: the faster of the first
            two on this processor. If None, auto.
        accumulation : int, optional
            Number of batches whose gradients are averaged for one update. If None, 1.
        patience : int, optional
            Early stopping: number of epochs without a lower validation loss, after
            which training ends with the weights of the best epoch; 0 trains all epochs.
            If None, 3.
        tensorboard : bool, optional
            Write the curves for TensorBoard too.
        devices : int, optional
            Number of GPUs of this machine that share each batch; -1 uses all.
        seed : int, optional
            Random seed.
        out_dir : string or Path, optional
            Output folder: a new one, or that of a run to resume.

        """
        from dipy_synth.utils.startup import start_keras

        start_keras()
        from dipy_synth.data.cohort import open_cohort
        from dipy_synth.nn.predictor import CovariatePredictor, predictor_training
        from dipy_synth.training import TrainingSettings

        cohort = open_cohort(prepared)
        settings = TrainingSettings.completed(
            predictor_training(cohort),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            precision=precision,
            accumulation=accumulation,
            patience=patience,
            tensorboard=tensorboard,
            devices=devices,
            seed=seed,
        )
        predictor = CovariatePredictor(None, verbose=True)
        predictor.fit(
            cohort,
            run_dir=out_dir,
            settings=settings,
            conditions=conditions or None,
            force=self._force_overwrite,
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}
        if cohort.where("validation").any():
            for name, found in predictor.evaluate(cohort).items():
                logger.info("validation subjects, %s: %s", name, found)
