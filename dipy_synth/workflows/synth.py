"""The command dipy_synth_mri."""

from dipy.workflows.workflow import Workflow


class SynthMRIFlow(Workflow):
    """Generate synthetic T1 brains."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
        return "synth_mri"

    def run(
        self,
        model="ixi-2mm",
        n_samples=None,
        seed=0,
        conditions=None,
        participants=None,
        keep_ids=False,
        sweep=None,
        sampler=None,
        steps=None,
        guidance=None,
        guidance_rescale=None,
        guidance_interval=None,
        autoguidance=None,
        autoguidance_interval=None,
        eta=None,
        batch_size=None,
        engine="serial",
        n_jobs=1,
        scheduler=None,
        gate=False,
        like=None,
        voxel_size=None,
        tissues=False,
        out_dir="synthetic",
    ):
        """Generate synthetic T1 brains with a latent diffusion model.

        The output is a BIDS derivative: volumes, sidecars, participants.tsv and the
        picture mid-slices.png. Sample i of a seed does not depend on how many are
        generated: the same command resumes an interrupted run, and a larger
        --n_samples, or further rows of --participants, adds to it. A model of images,
        such as mnist, writes images.npz (images, labels), images.json and images.png.

        Parameters
        ----------
        model : string, optional
            A run of dipy_train_ldm, a model folder, or the name of a bundled model.
        n_samples : int, optional
            Number of samples; with --sweep, of each value. If None, 1, or the number of
            rows of --participants.
        seed : int, optional
            Random seed.
        conditions : variable string, optional
            Conditions of every sample, such as age=70 sex=F. A condition without a
            value is dropped, as in training.
        participants : string or Path, optional
            A table of conditions, such as participants.tsv: tab-separated, one row per
            sample; columns that are no conditions of the model are ignored, missing
            values dropped. Numbers are rounded to whole units, since they are written
            beside the volumes.
        keep_ids : bool, optional
            Keep the numbers of --participants as they are, and write the participant_id
            of each row as matched_id.
        sweep : variable string, optional
            Conditions to vary with the same noise: age=20:90:8 for 8 ages from 20 to
            90, or sex=F,M. Several conditions are combined.
        sampler : string, optional
            heun, euler, dpmpp_2m, sde_dpmpp_2m, ddim, ddpm, or ddpm_large (the larger
            of its two variances). If None, that of the model.
        steps : int, optional
            Number of steps of the sampler. If None, that of the model.
        guidance : float, optional
            Weight of classifier-free guidance; 1 is without guidance. If None, that of
            the model.
        guidance_rescale : float, optional
            Guidance rescale, from 0 to 1 (Lin et al., 2024). If None, that of the
            model.
        guidance_interval : variable float, optional
            Lowest and highest noise-to-signal ratio with guidance (Kynkaanniemi et al.,
            2024). If None, that of the model.
        autoguidance : float, optional
            Scale of autoguidance (Karras et al., 2024), from 0 to 10: above 1, each
            estimate is extrapolated from that of the model's guide, a weaker network,
            which makes folds clearer; 1 is without. If None, that of the model.
        autoguidance_interval : variable float, optional
            Lowest and highest noise-to-signal ratio with autoguidance. If None, that of
            the model.
        eta : float, optional
            Share of fresh noise in a step of --sampler ddim or sde_dpmpp_2m, from 0
            (none) to 1. If None, that of the model.
        batch_size : int, optional
            Number of samples at a time. If None, 1 volume or 64 images.
        engine : string, optional
            Parallel engine: serial, joblib, dask or ray. Each process loads the model.
        n_jobs : int, optional
            Number of batches at a time, for an engine other than serial; -1 uses all
            processors.
        scheduler : string, optional
            Address of a dask scheduler, such as tcp://host:8786. Its workers need this
            package and must see the same files.
        gate : bool, optional
            Reject volumes that fail the QC filter of the model (outside the acceptance
            ranges of real brains or, if trained --with_gate, similar to a training
            brain) and draw them again, at most 20 times each. The command ends with
            exit status 1 if the first 10 draws are all rejected.
        like : string or Path, optional
            An image in the space of the model (MNI152 for the bundled one): volumes
            are interpolated once, to its voxels.
        voxel_size : variable float, optional
            Size of the voxels that are written, in mm, one or three numbers; the
            content keeps the resolution of the model, as the sidecars say. If None,
            that of the model.
        tissues : bool, optional
            Write the tissues of each volume, by the classifier of DIPY
            (TissueClassifierHMRF): maps of probabilities (label-GM_probseg, label-WM,
            label-CSF) and of labels (dseg, with dseg.tsv). About 3 s a volume.
        out_dir : string or Path, optional
            Output folder.

        """
        from dipy_synth.synthesis.generate import synthesize

        synthesize(
            model,
            out_dir,
            n=n_samples,
            seed=seed,
            conditions=conditions or (),
            participants=participants,
            keep_ids=keep_ids,
            sweep=sweep or (),
            sampler=sampler,
            steps=steps,
            guidance=guidance,
            guidance_rescale=guidance_rescale,
            guidance_interval=guidance_interval or None,
            autoguidance=autoguidance,
            autoguidance_interval=autoguidance_interval or None,
            eta=eta,
            batch_size=batch_size,
            engine=engine,
            n_jobs=n_jobs,
            scheduler=scheduler,
            gate=gate,
            like=like,
            voxel_size=voxel_size or (),
            tissues=tissues,
            force=self._force_overwrite,
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}
