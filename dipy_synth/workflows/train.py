"""The commands that train the autoencoder, the diffusion model and the predictor."""

from pathlib import Path

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow


class TrainVQVAEFlow(Workflow):
    """Train the autoencoder."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
        return "train_vqvae"

    def run(
        self,
        prepared,
        preset="default",
        epochs=None,
        batch_size=None,
        learning_rate=None,
        channels=None,
        levels=None,
        crop=None,
        background_weight=None,
        gradient_weight=None,
        frequency_weight=None,
        decoder_of=None,
        adversarial=0.0,
        precision=None,
        accumulation=None,
        patience=None,
        tensorboard=False,
        devices=1,
        seed=0,
        out_dir="vqvae",
    ):
        """Train a vector-quantised autoencoder on a prepared cohort, or on MNIST.

        The run's folder has the curves (history.csv, curves.png), reconstructions of
        validation subjects below the originals (reconstructions.png), a checkpoint of
        the last epoch and, at the end, the model in its folder "model". The same
        command resumes an interrupted run; --force starts anew.

        Parameters
        ----------
        prepared : string or Path
            A cohort that dipy_preprocess_t1 wrote, or a file of images: an .npz with
            "images" and, if known, "labels", or MNIST's IDX file.
        preset : string, optional
            Architecture, and the defaults of the other options: default, plain,
            residual, 128 (for volumes of 1 mm) or mnist (for images of 28x28).
        epochs : int, optional
            Number of epochs. If None, that of the preset.
        batch_size : int, optional
            Number of volumes, or crops, in a batch. If None, that of the preset.
        learning_rate : float, optional
            Peak learning rate. If None, that of the preset.
        channels : variable int, optional
            Number of channels at each resolution. If None, those of the preset.
        levels : variable int, optional
            Levels of each latent channel in finite scalar quantization, for instance 15
            15 15 15. If None, the quantizer of the preset.
        crop : float, optional
            Side of the random crops for training, as a fraction of that of the volume;
            1 trains on whole volumes. If None, that of the preset.
        background_weight : float, optional
            Weight of the background in the loss; that of the brain is 1. If None, that
            of the preset.
        gradient_weight : float, optional
            Weight of the L1 loss of finite differences. If None, that of the preset.
        frequency_weight : float, optional
            Weight of the L1 loss of the magnitudes of Haar detail coefficients. If
            None, that of the preset.
        decoder_of : string, optional
            A run of this command, or a model folder, whose decoder is fine-tuned; its
            encoder and codebook are frozen.
        adversarial : float, optional
            Weight of the adversarial (PatchGAN) loss, for sharper texture. The
            discriminator alone learns in the first sixth of the training. 0 trains
            without one.
        precision : string, optional
            float32, mixed_bfloat16 (faster on recent hardware) or mixed_float16. If
            None, that of the preset.
        accumulation : int, optional
            Number of batches whose gradients are averaged for one update. If None, that
            of the preset.
        patience : int, optional
            Early stopping: number of epochs without a lower validation loss, after
            which training ends with the weights of the best epoch; 0 trains all epochs.
            If None, that of the preset.
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
        from dipy_synth.networks.presets import find_preset
        from dipy_synth.nn.vqvae import VQVAE
        from dipy_synth.training import TrainingSettings

        settings = TrainingSettings.completed(
            find_preset(preset)["training"],
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
        network = {
            "channels": channels or None,
            "quantizer": {"name": "fsq", "levels": levels} if levels else None,
            "background_weight": background_weight,
            "gradient_weight": gradient_weight,
            "frequency_weight": frequency_weight,
        }
        VQVAE(None, verbose=True).fit(
            prepared,
            run_dir=out_dir,
            settings=settings,
            preset=preset,
            crop=crop,
            decoder_of=decoder_of,
            adversarial=adversarial,
            force=self._force_overwrite,
            network=_given(network),
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}


class TrainLDMFlow(Workflow):
    """Train the latent diffusion model."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
        return "train_ldm"

    def run(
        self,
        prepared,
        vqvae,
        conditions=None,
        condition_dropout=0.12,
        initial=None,
        preset="default",
        epochs=None,
        batch_size=None,
        learning_rate=None,
        widths=None,
        attention="preset",
        unfold=None,
        crop=None,
        schedule=None,
        diffusion_steps=None,
        prediction=None,
        zero_terminal_snr=False,
        times=None,
        noise_range=None,
        shift=None,
        spacing=None,
        weighting=None,
        precision=None,
        accumulation=None,
        patience=None,
        with_gate=False,
        tensorboard=False,
        devices=1,
        seed=0,
        out_dir="ldm",
    ):
        """Train a latent diffusion model on a prepared cohort.

        The run's folder has the curves (history.csv, curves.png), samples
        (samples.png), a checkpoint of the last epoch and, at the end, the model in its
        folder "model", which dipy_synth_mri --model reads. The same command resumes an
        interrupted run; --force starts anew.

        Parameters
        ----------
        prepared : string or Path
            A cohort that dipy_preprocess_t1 wrote, or the file of images that the
            autoencoder was trained on.
        vqvae : string or Path
            The run of dipy_train_vqvae on the same cohort, or its model folder.
        conditions : variable string, optional
            Columns of participants.tsv to condition on, such as age sex; label of a
            file of images. Values may be missing.
        condition_dropout : float, optional
            Probability of dropping all conditions, for classifier-free guidance.
        initial : string, optional
            A model of the same autoencoder to fine-tune: a run, a model folder or the
            name of a bundled model. Its conditions and its architecture are kept.
        preset : string, optional
            Architecture, and the defaults of the other options: default, small (for
            cohorts of some dozens), original (three levels of two residual layers, a
            chain of 1000 steps) or mnist (for images of 28x28).
        epochs : int, optional
            Number of epochs. If None, that of the preset.
        batch_size : int, optional
            Number of volumes, or crops, in a batch. If None, that of the preset.
        learning_rate : float, optional
            Peak learning rate. If None, that of the preset.
        widths : variable int, optional
            Number of channels of each level of the U-Net. If None, those of the preset.
        attention : string, optional
            Levels of the U-Net with attention: none, coarsest, all, or preset.
        unfold : int, optional
            Refinement of the latent grid for the finest level of the U-Net; 1 keeps the
            latent grid. If None, that of the preset.
        crop : int, optional
            Side of the random crops of latents for training; 0 trains on whole latents.
            If None, that of the preset.
        schedule : string, optional
            rectified_flow, or the betas of a discrete chain (DDPM): linear,
            scaled_linear, cosine or sigmoid. If None, that of the preset.
        diffusion_steps : int, optional
            Number of steps of a discrete chain. If None, that of the preset.
        prediction : string, optional
            What the network predicts: noise, image, v, velocity or preconditioned. If
            None, that of the preset.
        zero_terminal_snr : bool, optional
            Rescale a discrete chain to zero terminal SNR (Lin et al., 2024); not with
            the prediction of noise.
        times : string, optional
            Distribution of the training times of a flow: uniform, logit_normal or
            log_snr (even in log SNR, over --noise_range). If None, that of the preset.
        noise_range : variable float, optional
            Lowest and highest noise-to-signal ratio of --times log_snr; above it a
            closed-form Gaussian denoises. If None, those of the preset.
        shift : float, optional
            Shift of the times of a flow towards noise (Esser et al., 2024); 1 is
            without. If None, that of the preset.
        spacing : string, optional
            Spacing of the steps of the sampler of a flow: log_snr or time. If None,
            that of the preset.
        weighting : string, optional
            Weights of the loss over time: plain, min_snr or p2. If None, that of the
            preset.
        precision : string, optional
            float32, mixed_bfloat16 (faster on recent hardware) or mixed_float16. If
            None, that of the preset.
        accumulation : int, optional
            Number of batches whose gradients are averaged for one update. If None, that
            of the preset.
        patience : int, optional
            Early stopping: number of epochs without a lower validation loss, after
            which training ends with the weights of the best epoch; 0 trains all epochs.
            If None, that of the preset.
        with_gate : bool, optional
            Let dipy_synth_mri --gate search for copies of training brains. The model
            folder then holds the training brains in blocks of 4 voxels (8 mm at 2 mm):
            do not share it unless the scans may be shared.
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
        from dipy_synth.diffusion.schedules import choose_schedule
        from dipy_synth.networks.presets import UNET_PRESETS, find_preset
        from dipy_synth.nn.ldm import LDM
        from dipy_synth.training import TrainingSettings

        defaults = find_preset(preset, UNET_PRESETS)
        settings = TrainingSettings.completed(
            defaults["training"],
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
        network = {"widths": widths or None, "unfold": unfold}
        if attention != "preset":  # DIPY's parser turns the word "none" into None
            network["attention"] = attention or "none"
        LDM(None, verbose=True).fit(
            prepared,
            vqvae,
            run_dir=out_dir,
            settings=settings,
            preset=preset,
            conditions=conditions or (),
            schedule=choose_schedule(
                schedule,
                default=defaults["schedule"],
                steps=diffusion_steps,
                prediction=prediction,
                zero_terminal_snr=zero_terminal_snr,
                times=times,
                noise_range=noise_range or None,
                shift=shift,
                spacing=spacing,
                weighting=weighting,
            ),
            crop=crop,
            dropout=condition_dropout,
            initial=initial,
            with_gate=with_gate,
            force=self._force_overwrite,
            network=_given(network),
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}
        logger.info(f"Model: {Path(out_dir) / 'model'}")


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
            float32, mixed_bfloat16 (faster on recent hardware) or mixed_float16. If
            None, float32.
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
        logger.info(f"Model: {Path(out_dir) / 'model'}")


def _given(options):
    """Keep the options that were given."""
    return {name: value for name, value in options.items() if value is not None}
