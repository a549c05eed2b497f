"""The command dipy_edit_mri."""

from dipy.workflows.workflow import Workflow


class EditMRIFlow(Workflow):
    """Edit T1 scans by a latent diffusion model."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
        return "edit_mri"

    def run(
        self,
        input_files,
        model="ixi-2mm",
        conditions=None,
        change=None,
        own_conditions=None,
        strength=1.0,
        steps=24,
        guidance=2.0,
        mask_path=None,
        layout="auto",
        brain="auto",
        out_dir="edited",
    ):
        """Edit real T1 scans: the same brain under other conditions.

        Each scan is prepared as the training data of the model, encoded, and inverted
        towards the noise under its own conditions; from there it is generated twice,
        under its own conditions and under the new ones. The difference is added to the
        scan, in its own space, and written beside it. Results show what the model has
        learned; they are no forecast for a person. edits.tsv has a row per scan;
        edited.png shows the first. A second run resumes an interrupted one. A scan that
        fails is reported at the end and does not stop the others; the exit status is
        then 1.

        Parameters
        ----------
        input_files : variable string or Path
            A folder (BIDS, NFBS, CC359, IXI or any other), T1 files, or wildcards in
            quotation marks; or a cohort that dipy_preprocess_t1 wrote.
        model : string, optional
            A run of dipy_train_ldm with conditions, a model folder, or the name of a
            bundled model.
        conditions : variable string, optional
            New conditions of the scans, such as age=80 sex=F.
        change : variable string, optional
            Numbers to add to the own conditions of each scan, such as age=30.
        own_conditions : variable string, optional
            The own conditions of the scans, such as age=50. If None, those of the table
            of the study (participants.tsv).
        strength : float, optional
            Fraction of the steps that are inverted, in (0, 1]; with less, changes are
            smaller and finer.
        steps : int, optional
            Number of steps from noise to image. With few the inversion loses the brain.
        guidance : float, optional
            Weight of classifier-free guidance; 1 is without, with which the bundled
            model changes less than real years do.
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
            synthseg (DIPY's networks, which download weights), or deepbet (pip install
            'dipy_synth[deepbet]').
        out_dir : string or Path, optional
            Output folder: a new one, or one to complete.

        """
        from dipy_synth.conditions import ConditionSchema
        from dipy_synth.store import read_config
        from dipy_synth.synthesis.edit import Edit
        from dipy_synth.synthesis.scans import find_scans, report_scans
        from dipy_synth.utils.startup import start_keras

        scans = find_scans(input_files, mask_paths=mask_path, layout=layout)
        _, config = read_config(model, kinds=("ldm",))
        edit = Edit.parse(
            ConditionSchema.from_config(config["conditions"]),
            conditions=conditions or (),
            change=change or (),
            own=own_conditions or (),
            strength=strength,
            steps=steps,
            guidance=guidance,
        )
        start_keras()  # only now: an error before it takes no framework
        from dipy_synth.nn.ldm import LDM
        from dipy_synth.synthesis.edit_scans import edit_scans

        answers = edit_scans(
            LDM(model),
            scans,
            out_dir,
            edit,
            # DIPY's parser turns the word "none" into None.
            brain=brain or "none",
            force=self._force_overwrite,
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}
        return report_scans(answers, "edited", out_dir)
