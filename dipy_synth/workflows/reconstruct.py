"""The command dipy_reconstruct_mri."""

from dipy.workflows.workflow import Workflow


class ReconstructMRIFlow(Workflow):
    """Reconstruct T1 scans by an autoencoder."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
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
        """Reconstruct T1 scans with an autoencoder, each in its native space.

        Scans are prepared as the training data of the model, encoded, decoded and
        resampled to their own voxels; a prepared cohort is used as it is. The table
        reconstruction.tsv has PSNR and SSIM inside the brain, on the grid of the model
        and against the scan; reconstruction.png shows the first scans. A second run
        resumes an interrupted one. A scan that fails is reported at the end and does
        not stop the others; the exit status is then 1.

        Parameters
        ----------
        input_files : variable string or Path
            A folder (BIDS, NFBS, CC359, IXI or any other), T1 files, or wildcards in
            quotation marks; or a cohort that dipy_preprocess_t1 wrote.
        model : string, optional
            A run of dipy_train_vqvae or dipy_train_ldm, a model folder, or the name of
            a bundled model.
        mask_path : variable string or Path, optional
            Brain masks: a folder, files or wildcards, matched by subject, session and
            run, by a name that contains that of the scan, or as the only one in a
            folder with one scan. Those of a BIDS, NFBS or CC359 folder are found
            without this option.
        layout : string, optional
            Naming of the files: auto, bids, nfbs, cc359, ixi or files.
        brain : string, optional
            Source of the brain mask: auto (the given mask, the foreground of a
            skull-stripped scan, or deepbet for a whole head), given, nonzero, evac or
            synthseg (DIPY's networks, which download weights), deepbet (pip install
            'dipy_synth[deepbet]'), or none (the whole field of view).
        out_dir : string or Path, optional
            Output folder: a new one, or one to complete.

        """
        from dipy_synth.store import read_config
        from dipy_synth.synthesis.scans import find_scans, report_scans
        from dipy_synth.utils.startup import start_keras

        scans = find_scans(input_files, mask_paths=mask_path, layout=layout)
        read_config(model, kinds=("vqvae", "ldm"))
        start_keras()  # only now: errors above do not load a framework
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
        return report_scans(answers, "reconstructed", out_dir)
