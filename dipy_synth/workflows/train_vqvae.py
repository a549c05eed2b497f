"""The command dipy_train_vqvae."""

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
            Weight of the adversarial (PatchGAN) loss, for sharper texture; 0 trains
            without one. In the first sixth of the training the discriminator learns
            alone.
        precision : string, optional
            float32, mixed_bfloat16, mixed_float16, or auto: the faster of the first
            two on this processor. If None, that of the preset.
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
            network={k: v for k, v in network.items() if v is not None},
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}
