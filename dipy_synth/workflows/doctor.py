"""The command that looks for what is wrong with a trained model."""

from pathlib import Path

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow

from dipy_synth.errors import InputError


class SynthDoctorFlow(Workflow):
    """Find out why a latent diffusion model gives noise."""

    @classmethod
    def get_short_name(cls):
        """Give the name that DIPY's combined workflows use."""
        return "synth_doctor"

    def run(
        self, model, prepared=None, vqvae=None, quick=False, seed=0, out_dir="doctor"
    ):
        """Look at a trained model for the known ways in which it would give noise.

        Latents and noise schedule, training against sampling, what the network has
        learned, conditions, autoencoder and samples are looked at. Each gets a
        verdict: pass, warn, fail or skipped; with what to do. The page
        doctor.html shows them with pictures, doctor.json has the numbers. Nothing of
        the model is changed. When a check fails the exit status is 1.

        Parameters
        ----------
        model : string
            A run of dipy_train_ldm, a model folder, or the name of a bundled model.
        prepared : string or Path, optional
            The prepared cohort, or the file of images, that it was trained on. More is
            looked at with it.
        vqvae : string or Path, optional
            The run of dipy_train_vqvae that it was trained with: compared with the
            autoencoder in the model.
        quick : bool, optional
            Leave out what takes longest: training on one batch, and samples.
        seed : int, optional
            Seed of noise and samples.
        out_dir : string or Path, optional
            Folder of the page.

        """
        from dipy_synth.diagnostics import (
            diagnostics_page,
            read_context,
            run_checks,
            text_table,
        )
        from dipy_synth.utils.lock import folder_lock

        context = read_context(model, prepared=prepared, vqvae=vqvae, seed=seed)
        with folder_lock(out_dir):
            results = run_checks(context, quick=quick, progress=True)
            page = diagnostics_page(context, results, Path(out_dir) / "doctor.html")
        self.last_generated_outputs = {"out_dir": str(out_dir)}
        for line in text_table(results):
            logger.info(line)
        logger.info(f"A page to look at: {page}")
        failed = [result.name for result in results if result.verdict == "fail"]
        if failed:
            raise InputError(f"{model}: failed: {'; '.join(failed)}; see {page}")
