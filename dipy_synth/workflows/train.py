"""The commands that train the autoencoder and the latent diffusion model."""

from dataclasses import fields

from dipy.workflows.workflow import Workflow


class TrainVQVAEFlow(Workflow):
    """Train the autoencoder."""

    @classmethod
    def get_short_name(cls):
        """Give the name that DIPY's combined workflows use."""
        return "train_vqvae"

    def run(
        self,
        prepared,
        epochs=30,
        batch_size=1,
        learning_rate=3e-4,
        channels=None,
        levels=None,
        precision="float32",
        accumulation=1,
        patience=0,
        tensorboard=False,
        devices=1,
        seed=0,
        out_dir="vqvae",
    ):
        """Train a quantised autoencoder on a prepared cohort.

        The run's folder gets curves (history.csv, curves.png), reconstructions of
        validation subjects beside the originals (reconstructions.png), a checkpoint
        an epoch and, in the end, the model in its folder "model". The same command
        goes on with a run that was stopped; --force starts anew.

        Parameters
        ----------
        prepared : string or Path
            A cohort that dipy_preprocess_t1 wrote.
        epochs : int, optional
            Passes over the training subjects.
        batch_size : int, optional
            Volumes a step.
        learning_rate : float, optional
            Peak of the learning rate.
        channels : variable int, optional
            Widths of the network at half and at quarter resolution. By default 32
            and 64.
        levels : variable int, optional
            Levels of each latent channel; their number is that of the channels. By
            default 63, three times 31 and twelve times 15.
        precision : string, optional
            float32, mixed_bfloat16 (faster on recent hardware) or mixed_float16.
        accumulation : int, optional
            Batches that make one update: as a batch so many times as large, in the
            memory of one.
        patience : int, optional
            Stop after so many epochs without a lower validation loss, and keep the
            weights of the best one. By default all epochs are trained.
        tensorboard : bool, optional
            Write the curves for TensorBoard too.
        devices : int, optional
            GPUs of this machine that share each batch; -1 for all there are.
        seed : int, optional
            Seed of everything drawn.
        out_dir : string or Path, optional
            Folder of the run.

        """
        from dipy_synth.nn.vqvae import VQVAE

        settings = _settings(locals())
        network = {"channels": channels, "levels": levels}
        VQVAE(verbose=True).fit(
            prepared,
            run_dir=out_dir,
            settings=settings,
            force=self._force_overwrite,
            **_given(network),
        )


class TrainLDMFlow(Workflow):
    """Train the latent diffusion model."""

    @classmethod
    def get_short_name(cls):
        """Give the name that DIPY's combined workflows use."""
        return "train_ldm"

    def run(
        self,
        prepared,
        vqvae,
        conditions=None,
        epochs=100,
        batch_size=2,
        learning_rate=3e-4,
        widths=None,
        schedule="rectified_flow",
        diffusion_steps=1000,
        prediction=None,
        zero_terminal_snr=False,
        precision="float32",
        accumulation=1,
        patience=0,
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
            A cohort that dipy_preprocess_t1 wrote.
        vqvae : string or Path
            The run of dipy_train_vqvae on the same cohort, or its model folder.
        conditions : variable string, optional
            Columns of participants.tsv that the model is to follow, such as age sex.
        epochs : int, optional
            Passes over the training subjects and their mirror images.
        batch_size : int, optional
            Volumes a step.
        learning_rate : float, optional
            Peak of the learning rate.
        widths : variable int, optional
            Channels of the U-Net's three levels. By default 64, 128 and 128.
        schedule : string, optional
            rectified_flow, or a discrete chain with linear, scaled_linear, cosine or
            sigmoid betas, as DDPM has them.
        diffusion_steps : int, optional
            Steps of a discrete chain.
        prediction : string, optional
            What the network predicts: noise, image, v or velocity. By default velocity
            for a flow and noise for a chain.
        zero_terminal_snr : bool, optional
            Rescale a discrete chain so that it ends in noise; not with noise
            prediction.
        precision : string, optional
            float32, mixed_bfloat16 (faster on recent hardware) or mixed_float16.
        accumulation : int, optional
            Batches that make one update: as a batch so many times as large, in the
            memory of one.
        patience : int, optional
            Stop after so many epochs without a lower validation loss, and keep the
            weights of the best one. By default all epochs are trained.
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
        from dipy_synth.nn.ldm import LDM

        settings = _settings(locals())
        LDM(verbose=True).fit(
            prepared,
            vqvae,
            run_dir=out_dir,
            settings=settings,
            conditions=conditions or (),
            schedule=choose_schedule(
                schedule,
                steps=diffusion_steps,
                prediction=prediction,
                zero_terminal_snr=zero_terminal_snr,
            ),
            force=self._force_overwrite,
            **_given({"widths": widths}),
        )


def _settings(options):
    """Pick the training settings from the options of a flow, which bear their names."""
    from dipy_synth.training import TrainingSettings

    names = {field.name for field in fields(TrainingSettings)}
    return TrainingSettings(**{k: v for k, v in options.items() if k in names})


def _given(options):
    """Keep the options that were given."""
    return {name: value for name, value in options.items() if value}
