"""The command that sends scans through an autoencoder and back."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow

from dipy_synth.errors import InputError


class ReconstructMRIFlow(Workflow):
    """Reconstruct T1 scans by an autoencoder."""

    @classmethod
    def get_short_name(cls):
        """Give the name that DIPY's combined workflows use."""
        return "reconstruct_mri"

    def run(
        self,
        input_files,
        model="ixi-2mm",
        mask_path=None,
        layout="auto",
        brain="auto",
        out_dir="reconstructed",
    ):
        """Reconstruct T1 scans by an autoencoder, each back in its native space.

        Scans are prepared as the model's training cohort was, encoded, decoded, and
        brought back to their own voxels; a prepared cohort is taken as it is. Beside
        the volumes lie reconstruction.tsv, with PSNR and SSIM inside the brain on the
        model's grid and against the scan itself, and a picture, reconstruction.png.
        Run again, the command does only what is missing. A scan that fails is told at
        the end and does not stop the others; the exit status is then 1.

        Parameters
        ----------
        input_files : variable string or Path
            A folder (BIDS, NFBS, CC359, IXI or any other), T1 files, or wildcards in
            quotation marks; or a cohort that dipy_preprocess_t1 wrote.
        model : string, optional
            A run of dipy_train_vqvae or dipy_train_ldm, a model folder, or the name of
            a bundled model.
        mask_path : variable string or Path, optional
            Brain masks: a folder, files, or wildcards. Each scan takes the mask with
            its own subject, session and run, or with its own name in the mask's.
            Masks of a BIDS, NFBS or CC359 folder are found without it.
        layout : string, optional
            How files are named: auto, bids, nfbs, cc359, ixi or files.
        brain : string, optional
            Where the brain mask comes from: auto (the mask that is given, or what is
            not 0 in a skull-stripped scan), given, nonzero, evac or synthseg (of DIPY;
            they download weights), deepbet (to be installed apart), or none (the
            whole field of view).
        out_dir : string or Path, optional
            Folder of the reconstructions: a new one, or one to complete.

        """
        from dipy_synth.data.prepared import is_prepared_cohort
        from dipy_synth.data.readers import read_records

        if len(input_files) == 1 and is_prepared_cohort(input_files[0]):
            scans = input_files[0]
        else:
            scans = read_records(input_files, mask_paths=mask_path, layout=layout)
        # Only now: what is absent is told before a framework is loaded.
        from dipy_synth.nn.vqvae import VQVAE
        from dipy_synth.synthesis.reconstruction import reconstruct_cohort

        answers = reconstruct_cohort(
            VQVAE(model),
            scans,
            out_dir,
            # DIPY's parser turns the word "none" into None.
            brain=brain or "none",
            force=self._force_overwrite,
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}
        failed = [words for _, words in answers if words]
        done = len(answers) - len(failed)
        logger.info(f"{done} reconstructed scans are in {out_dir}")
        for words in failed:
            logger.error(words)
        if failed:
            raise InputError(
                f"{len(failed)} of {len(answers)} scans could not be reconstructed, "
                "each is told above"
            )
