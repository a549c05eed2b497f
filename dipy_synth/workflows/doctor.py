"""The command dipy_synth_doctor."""

from pathlib import Path

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow


class SynthDoctorFlow(Workflow):
    """Diagnose a latent diffusion model."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
        return "synth_doctor"

    def run(
        self, model, prepared=None, vqvae=None, quick=False, seed=0, out_dir="doctor"
    ):
        """Check a trained model for the known reasons of noisy samples.

        Latents and noise schedule, training against sampling, the denoiser, conditions,
        autoencoder and samples are checked. Each check passes, warns, fails or is
        skipped, with advice. The page doctor.html shows them with pictures, doctor.json
        has the numbers. The model is not changed. The exit status is 1 if a check
        fails.

        Parameters
        ----------
        model : string
            A run of dipy_train_ldm, a model folder, or the name of a bundled model.
        prepared : string or Path, optional
            The prepared cohort, or the file of images, that it was trained on; without
            it some checks are skipped.
        vqvae : string or Path, optional
            The run of dipy_train_vqvae that it was trained with, to compare with the
            autoencoder in the model.
        quick : bool, optional
            Skip the slowest checks: overfitting one batch, the ladder and samples.
        seed : int, optional
            Random seed.
        out_dir : string or Path, optional
            Output folder: a new one, or that of the same request.

        """
        from dipy_synth.store import read_config
        from dipy_synth.utils.startup import start_keras

        read_config(model, kinds=("ldm",))
        start_keras()  # only now: errors above do not load a framework
        from dipy_synth.data.cohort import load_cohort
        from dipy_synth.diagnostics import (
            describe_request,
            diagnosis_folder,
            diagnostics_page,
            read_context,
            run_checks,
            text_table,
        )
        from dipy_synth.utils.lock import folder_lock

        cohort = None if prepared is None else load_cohort(prepared)
        inputs = {"prepared": cohort, "vqvae": vqvae, "seed": seed}
        request = describe_request(model, quick=quick, **inputs)
        with folder_lock(out_dir):
            diagnosis_folder(out_dir).check(request, force=self._force_overwrite)
            context = read_context(model, **inputs)
            results = run_checks(context, quick=quick, progress=True)
            path = Path(out_dir) / "doctor.html"
            page = diagnostics_page(context, results, path, request=request)
        self.last_generated_outputs = {"out_dir": str(out_dir)}
        for line in text_table(results):
            logger.info(line)
        failed = [result.name for result in results if result.verdict == "fail"]
        if failed:
            logger.error(f"{model}: failed: {'; '.join(failed)}; see {page}")
        else:
            logger.info(f"Diagnostics: {page}")
        return not failed
