"""The command that makes synthetic brains, or images."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow


class SynthMRIFlow(Workflow):
    """Make synthetic T1 brains."""

    @classmethod
    def get_short_name(cls):
        """Return the name that DIPY's combined workflows use."""
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
        eta=None,
        batch_size=None,
        engine="serial",
        n_jobs=1,
        scheduler=None,
        gate=False,
        out_dir="synthetic",
    ):
        """Make synthetic T1 brains: a BIDS derivative of volumes with sidecars.

        Sample i of a seed is the same however many are asked for. The same command
        goes on with a cohort that was stopped, and with a larger --n_samples, or
        further rows of --participants, adds to it. A picture of mid-slices,
        mid-slices.png, lies beside the volumes. A model of images, such as mnist, makes
        images.npz (images and the labels asked for), images.json and images.png.

        Parameters
        ----------
        model : string, optional
            A run of dipy_train_ldm, a model folder, or the name of a bundled model.
        n_samples : int, optional
            Brains wanted; with --sweep so many for each value. By default 1, or as
            many as --participants has rows.
        seed : int, optional
            Seed of the noise.
        conditions : variable string, optional
            Values asked for of every brain, such as age=70 sex=F. What is not named is
            left open.
        participants : string or Path, optional
            A cohort to match: a table such as participants.tsv, tab-separated, a row a
            brain. Columns that are conditions of the model are asked for, a missing
            value is left open, other columns are left aside. Ages and other numbers
            are rounded to whole units, since they are written beside the volumes.
        keep_ids : bool, optional
            With --participants: numbers as they are in the table, and the row's
            participant_id as matched_id in the participants.tsv that is written.
        sweep : variable string, optional
            Values to go through with the same noise, so that a condition alone makes
            the difference: age=20:90:8 for 8 ages from 20 to 90, or sex=F,M. Of several
            conditions every combination is made.
        sampler : string, optional
            sde_dpmpp_2m, dpmpp_2m, heun, euler, ddim, ddpm, or ddpm_large for the
            larger of its two variances. By default what the model recommends.
        steps : int, optional
            Steps of the sampler. By default what the model recommends.
        guidance : float, optional
            Guidance scale, the weight of the conditions; 1 adds none. By default what
            the model recommends.
        guidance_rescale : float, optional
            Guidance rescale, from 0 to 1: the share of the contrast added by guidance
            to be removed. By default what the model recommends.
        guidance_interval : variable float, optional
            Lowest and highest noise-to-signal ratio at which guidance acts, such as 0.3
            5; 0 1000 for all. By default what the model recommends.
        eta : float, optional
            Share, from 0 to 1, of fresh noise in a step of --sampler ddim (0 by
            default) or sde_dpmpp_2m (1 by default); 0 adds none. With no other sampler.
        batch_size : int, optional
            Volumes at a time, by default 1, or 64 small images. With ixi-2mm a process
            takes about 1.1 GB, and each further volume of a batch some 20 MB.
        engine : string, optional
            What makes batches in parallel: serial, joblib, dask or ray. Each process
            loads the model.
        n_jobs : int, optional
            Batches at a time; -1 for all processors. For engines other than serial.
        scheduler : string, optional
            Address of a dask scheduler, such as tcp://host:8786, whose workers are to
            make the volumes. They need this package and must see the same files.
        gate : bool, optional
            Keep only volumes that pass as brains, by acceptance ranges that real brains
            have set (form, size, symmetry, similarity, sharpness; tissues are not
            looked at, which would take 2 s a volume) and, with a model trained
            --with_gate, are no copies of training brains. Others are drawn again and
            counted. A volume may be drawn
            20 times; where the first 10 draws are all dropped the command says why, and
            ends.
        out_dir : string or Path, optional
            Folder of the cohort.

        """
        from dipy_synth.nn.ldm import LDM
        from dipy_synth.synthesis.request import Request, read_matched_participants

        ldm = LDM(model)
        matched = (
            read_matched_participants(participants, ldm.schema, keep_ids=keep_ids)
            if participants
            else ()
        )
        request = Request(
            seed=seed,
            conditions=ldm.schema.parse(conditions or []),
            participants=matched,
            sweep=ldm.schema.parse_sweep(sweep or []),
            sampler=sampler,
            steps=steps,
            guidance=guidance,
            guidance_rescale=guidance_rescale,
            guidance_interval=guidance_interval or None,
            eta=eta,
        )
        options = {"n": n_samples, "request": request, "force": self._force_overwrite}
        if batch_size is not None:
            options["batch_size"] = batch_size
        parallel = {"engine": engine, "n_jobs": n_jobs, "scheduler": scheduler}
        if ldm.config["grid"] is None:
            _make_images(ldm, out_dir, gate=gate, **parallel, **options)
        else:
            _make_brains(ldm, out_dir, gate=gate, **parallel, **options)


def _make_brains(ldm, out_dir, *, gate, **options):
    from dipy_synth.synthesis.cohort import synthesize_cohort
    from dipy_synth.synthesis.qc_filter import QCFilter

    qc_filter = QCFilter.load(ldm.folder) if gate else None
    if qc_filter is not None and qc_filter.search is None:
        logger.warning(
            "--gate looks at form alone: the model was trained without --with_gate, so "
            "that it holds no training brains to look for copies of"
        )
    paths = synthesize_cohort(ldm, out_dir, qc_filter=qc_filter, **options)
    logger.info("%d synthetic brains in %s", len(paths), out_dir)


def _make_images(ldm, out_dir, *, gate, engine, n_jobs, scheduler, **options):
    from dipy_synth.synthesis.images import check_for_images, synthesize_images

    check_for_images(gate=gate, engine=engine, n_jobs=n_jobs, scheduler=scheduler)
    path = synthesize_images(ldm, out_dir, **options)
    logger.info("synthetic images in %s", path)
