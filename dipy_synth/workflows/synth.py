"""The command that makes synthetic brains."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow


class SynthMRIFlow(Workflow):
    """Make synthetic T1 brains."""

    @classmethod
    def get_short_name(cls):
        """Give the name that DIPY's combined workflows use."""
        return "synth_mri"

    def run(
        self,
        model="ixi-2mm",
        n_samples=1,
        seed=0,
        conditions=None,
        sampler=None,
        steps=None,
        guidance=None,
        batch_size=1,
        out_dir="synthetic",
    ):
        """Make synthetic T1 brains: a BIDS derivative of volumes with sidecars.

        Sample i of a seed is the same however many are asked for. The same command
        goes on with a cohort that was stopped, and with a larger --n_samples adds to
        it. A picture of mid-slices, mid-slices.png, lies beside the volumes.

        Parameters
        ----------
        model : string, optional
            A run of dipy_train_ldm, a model folder, or the name of a bundled model.
        n_samples : int, optional
            Brains wanted.
        seed : int, optional
            Seed of the noise.
        conditions : variable string, optional
            Values asked for, such as age=70 sex=F. What is not named is left open.
        sampler : string, optional
            heun, euler, dpmpp_2m, ddim or ddpm. By default what the model recommends.
        steps : int, optional
            Steps of the sampler. By default what the model recommends.
        guidance : float, optional
            Weight of the conditions; 1 adds none. By default what the model
            recommends.
        batch_size : int, optional
            Volumes at a time; more need more memory.
        out_dir : string or Path, optional
            Folder of the cohort.

        """
        from dipy_synth.nn.ldm import LDM
        from dipy_synth.synthesis import Request, synthesize_cohort

        ldm = LDM(model)
        request = Request(
            seed=seed,
            conditions=ldm.schema.parse(conditions or []),
            sampler=sampler,
            steps=steps,
            guidance=guidance,
        )
        paths = synthesize_cohort(
            ldm,
            out_dir,
            n=n_samples,
            request=request,
            batch_size=batch_size,
            force=self._force_overwrite,
        )
        logger.info("%d synthetic brains in %s", len(paths), out_dir)
