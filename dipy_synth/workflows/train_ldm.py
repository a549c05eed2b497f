"""The command dipy_train_ldm."""

from dipy.workflows.workflow import Workflow


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
        precision=None,
        accumulation=None,
        patience=None,
        guide_epochs=None,
        with_gate=False,
        tensorboard=False,
        devices=1,
        seed=0,
        out_dir="ldm",
    ):
        """Train a latent diffusion model on a prepared cohort.

        The run's folder has the curves (history.csv, curves.png), samples
        (samples.png), a checkpoint of the last epoch and, at the end, the model in its
        folder "model", which dipy_synth_mri --model reads. Its folder "guide" is the
        training of the guide. The same command resumes an interrupted run; --force
        starts anew.

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
        guide_epochs : int, optional
            Number of epochs of the guide, a weaker network for autoguidance, which is
            trained last; 0 trains none. If None, an eighth of the epochs.
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
            ),
            crop=crop,
            dropout=condition_dropout,
            initial=initial,
            guide_epochs=guide_epochs,
            with_gate=with_gate,
            force=self._force_overwrite,
            network={k: v for k, v in network.items() if v is not None},
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}
