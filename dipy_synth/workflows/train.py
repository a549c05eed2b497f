"""The commands that train the autoencoder, the diffusion model and the predictor."""

from dipy.workflows.workflow import Workflow


class TrainVQVAEFlow(Workflow):
    """Train the autoencoder."""

    @classmethod
    def get_short_name(cls):
        """Return the name that DIPY's combined workflows use."""
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
        texture_weight=None,
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
        """Train a quantised autoencoder on a prepared cohort, or on MNIST.

        The run's folder gets curves (history.csv, curves.png), reconstructions of
        validation subjects beside the originals (reconstructions.png), a checkpoint
        an epoch and, in the end, the model in its folder "model". The same command
        goes on with a run that was stopped; --force starts anew.

        Parameters
        ----------
        prepared : string or Path
            A cohort that dipy_preprocess_t1 wrote, or images in one file: an .npz
            with "images" and, if known, "labels", or MNIST's own IDX file.
        preset : string, optional
            What is trained, and how by default: default, plain, residual, 128 (for
            volumes of 1 mm) or mnist (for images of 28x28).
        epochs : int, optional
            Passes over the training subjects. By default the preset's.
        batch_size : int, optional
            Volumes, or parts of volumes, a step. By default the preset's.
        learning_rate : float, optional
            Peak of the learning rate. By default the preset's.
        channels : variable int, optional
            Widths of the network at its two resolutions. By default the preset's, 32
            and 64 in most.
        levels : variable int, optional
            Round each latent channel to so many levels; as many channels as levels are
            given. By default the preset's quantiser.
        crop : float, optional
            Side of the random parts of volumes that are trained on, as a share of the
            volume's; 1 for whole volumes. By default the preset's, 0.5 for brains.
        background_weight : float, optional
            Weight of background voxels in the loss, where the brain has 1. By default
            the preset's, 0.1 for brains.
        gradient_weight : float, optional
            Weight of the distance between finite differences. By default the preset's,
            0.5 for brains.
        frequency_weight : float, optional
            Weight of the distance between magnitudes of fine detail, voxel by voxel. By
            default the preset's, 1 for brains.
        texture_weight : float, optional
            Weight of the distance between local strengths of fine detail, such as 3:
            texture as strong as in the originals. By default the preset's, 0.
        decoder_of : string, optional
            A run of this command, or a model folder, whose decoder alone is trained
            further, so that its latents stay what they are.
        adversarial : float, optional
            Weight of the adversarial (PatchGAN) loss in the last third of the training,
            such as 0.1; 0 trains without one.
        precision : string, optional
            float32, mixed_bfloat16 (faster on recent hardware) or mixed_float16. By
            default the preset's.
        accumulation : int, optional
            Batches that make one update: as a batch so many times as large, in the
            memory of one. By default the preset's, 1 in most.
        patience : int, optional
            Stop after so many epochs without a lower validation loss, and keep the
            weights of the best one; 0 trains all epochs. By default the preset's, 0 in
            most.
        tensorboard : bool, optional
            Write the curves for TensorBoard too.
        devices : int, optional
            GPUs of this machine that share each batch; -1 for all there are.
        seed : int, optional
            Seed of everything drawn.
        out_dir : string or Path, optional
            Folder of the run.

        """
        from dipy_synth.networks.presets import find_preset
        from dipy_synth.nn.vqvae import VQVAE

        settings = _settings(
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
            "channels": channels,
            "quantizer": {"name": "fsq", "levels": levels} if levels else None,
            "background_weight": background_weight,
            "gradient_weight": gradient_weight,
            "frequency_weight": frequency_weight,
            "texture_weight": texture_weight,
        }
        VQVAE(verbose=True).fit(
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


class TrainLDMFlow(Workflow):
    """Train the latent diffusion model."""

    @classmethod
    def get_short_name(cls):
        """Return the name that DIPY's combined workflows use."""
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

        The run's folder gets curves (history.csv, curves.png), samples
        (samples.png), a checkpoint an epoch and, in the end, the model in its folder
        "model", which dipy_synth_mri --model reads. The same command goes on with a
        run that was stopped; --force starts anew.

        Parameters
        ----------
        prepared : string or Path
            A cohort that dipy_preprocess_t1 wrote, or the file of images that the
            autoencoder was trained on.
        vqvae : string or Path
            The run of dipy_train_vqvae on the same cohort, or its model folder.
        conditions : variable string, optional
            Columns of participants.tsv that the model is to follow, such as age sex;
            label of a file of images. Numbers and categories; values may be missing.
        condition_dropout : float, optional
            Probability of dropping all conditions of a training pair (classifier-free
            guidance).
        initial : string, optional
            A model of the same autoencoder whose weights the training starts from
            (fine-tuning): a run, a model folder or the name of a bundled model. Its
            conditions and the shape of its U-Net are kept.
        preset : string, optional
            Shape of the U-Net, and how it is trained by default: default, small (for
            cohorts of some dozens), original (three levels of two residual layers, no
            attention) or mnist (for images of 28x28).
        epochs : int, optional
            Passes over the training subjects, brains in ten views each: mirrored, and
            moved by up to 3 voxels. By default the preset's.
        batch_size : int, optional
            Latent images, or parts of them, a step. By default the preset's.
        learning_rate : float, optional
            Peak of the learning rate. By default the preset's.
        widths : variable int, optional
            Channels of the U-Net's levels, each of half the resolution; as many levels
            as are given. By default the preset's.
        attention : string, optional
            Levels of the U-Net that have attention: none, coarsest or all. By default
            preset: the preset's.
        unfold : int, optional
            Refinement of the latent grid for the U-Net's finest level, such as 2; 1
            works on the latent grid. By default the preset's, 2 for brains.
        crop : int, optional
            Side, in latent positions, of the random parts that are trained on; 0 for
            whole images. By default the preset's.
        schedule : string, optional
            rectified_flow, or a discrete chain with linear, scaled_linear, cosine or
            sigmoid betas, as DDPM has them. By default the preset's, as are its
            options below.
        diffusion_steps : int, optional
            Steps of a discrete chain. By default 1000.
        prediction : string, optional
            What the network predicts: noise, image, v, velocity or preconditioned (what
            the best linear estimate lacks).
        zero_terminal_snr : bool, optional
            Rescale a discrete chain so that it ends in noise; not with noise
            prediction.
        times : string, optional
            Distribution of a flow's training times: log_snr (uniform in the logarithm
            of the noise-to-signal ratio over --noise_range), uniform, or logit_normal
            (more of them half way, next to none at the noise where sampling begins).
        noise_range : variable float, optional
            Lowest and highest noise-to-signal ratio of --times log_snr, such as 0.02 5.
            Above it a closed-form Gaussian denoises.
        shift : float, optional
            Above 1, times of a flow, other than log_snr, move towards the noise, in
            training and, with --spacing time, in sampling.
        spacing : string, optional
            Spacing of a sampler's steps of a flow: log_snr, even in the signal-to-noise
            ratio from the highest noise level of use, or time.
        weighting : string, optional
            Weights of the loss over time: plain, or, for other predictions than
            preconditioned, min_snr or p2.
        precision : string, optional
            float32, mixed_bfloat16 (faster on recent hardware) or mixed_float16. By
            default the preset's.
        accumulation : int, optional
            Batches that make one update: as a batch so many times as large, in the
            memory of one. By default the preset's, 1 in most.
        patience : int, optional
            Stop after so many epochs without a lower validation loss, and keep the
            weights of the best one; 0 trains all epochs. By default the preset's, 0 in
            most.
        with_gate : bool, optional
            Let dipy_synth_mri --gate look for copies of training brains. The model's
            folder then holds the training brains, in blocks of 4 voxels (8 mm at 2 mm):
            do not share it where the scans may not be shared. Without it nothing of a
            subject is in the folder, and --gate looks at form alone.
        tensorboard : bool, optional
            Write the curves for TensorBoard too.
        devices : int, optional
            GPUs of this machine that share each batch; -1 for all there are.
        seed : int, optional
            Seed of everything drawn.
        out_dir : string or Path, optional
            Folder of the run.

        """
        from dipy_synth.diffusion.schedules import choose_schedule
        from dipy_synth.networks.presets import UNET_PRESETS, find_preset
        from dipy_synth.nn.ldm import LDM

        chosen = find_preset(preset, UNET_PRESETS)
        settings = _settings(
            chosen["training"],
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
        network = {"widths": widths, "unfold": unfold}
        if attention != "preset":  # DIPY's parser turns the word "none" into None
            network["attention"] = attention or "none"
        LDM(verbose=True).fit(
            prepared,
            vqvae,
            run_dir=out_dir,
            settings=settings,
            preset=preset,
            conditions=conditions or (),
            schedule=choose_schedule(
                schedule,
                default=chosen["schedule"],
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


class TrainPredictorFlow(Workflow):
    """Train the predictor."""

    @classmethod
    def get_short_name(cls):
        """Return the name that DIPY's combined workflows use."""
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
        """Train a network that reads age, sex or a digit from a volume.

        It is trained on training subjects alone. How well it reads the validation
        subjects is told in the end. Its features compare real and synthetic cohorts;
        what it reads from synthetic volumes tells whether they are as asked. The run's
        folder gets curves, a checkpoint an epoch and the model in its folder "model".
        The same command goes on with a run that was stopped; --force starts anew.

        Parameters
        ----------
        prepared : string or Path
            A cohort that dipy_preprocess_t1 wrote, or images and labels in one file, as
            dipy_train_vqvae takes it.
        conditions : variable string, optional
            Columns of participants.tsv to read, numbers or categories, whose values
            may be missing. By default age and sex; label of a file of images.
        epochs : int, optional
            Passes over the training subjects. By default 8.
        batch_size : int, optional
            Volumes a step. By default 8 brains or 64 small images.
        learning_rate : float, optional
            Peak of the learning rate. By default 5e-4 for brains, 3e-3 for images.
        precision : string, optional
            float32 (by default), mixed_bfloat16 (faster on recent hardware) or
            mixed_float16.
        accumulation : int, optional
            Batches that make one update: as a batch so many times as large, in the
            memory of one. By default 1.
        patience : int, optional
            Stop after so many epochs without a lower validation loss, and keep the
            weights of the best one; 0 trains all epochs. By default 3.
        tensorboard : bool, optional
            Write the curves for TensorBoard too.
        devices : int, optional
            GPUs of this machine that share each batch; -1 for all there are.
        seed : int, optional
            Seed of everything drawn.
        out_dir : string or Path, optional
            Folder of the run.

        """
        from dipy.utils.logging import logger

        from dipy_synth.data.cohort import open_cohort
        from dipy_synth.nn.predictor import CovariatePredictor, predictor_training

        cohort = open_cohort(prepared)
        settings = _settings(
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
        predictor = CovariatePredictor(verbose=True)
        predictor.fit(
            cohort,
            run_dir=out_dir,
            settings=settings,
            force=self._force_overwrite,
            **_given({"conditions": conditions}),
        )
        if cohort.where("validation").any():
            for name, found in predictor.evaluate(cohort).items():
                logger.info("validation subjects, %s: %s", name, found)


def _settings(defaults, **given):
    """Make the training settings from defaults and the options that were given."""
    from dipy_synth.training import TrainingSettings

    return TrainingSettings(**{**defaults, **_given(given)})


def _given(options):
    """Keep the options that were given."""
    return {k: v for k, v in options.items() if v is not None and v != []}
