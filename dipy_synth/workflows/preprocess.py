"""The command dipy_preprocess_t1."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow

from dipy_synth.data.label_table import names_beside
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess_config import GRIDS, PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.grid import make_grid
from dipy_synth.synthesis.scans import report_scans


class PreprocessT1Flow(Workflow):
    """Prepare a cohort of T1 scans for training."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
        return "preprocess_t1"

    def run(
        self,
        input_files,
        mask_path=None,
        labels=None,
        layout="auto",
        brain="auto",
        no_bias=False,
        align="rigid",
        scaling="percentile",
        percentiles=None,
        order=3,
        regrid="grid",
        grid_shape=None,
        voxel_size=None,
        engine="serial",
        n_jobs=1,
        scheduler=None,
        validation_fraction=0.2,
        seed=0,
        stratify=None,
        out_dir="prepared",
    ):
        """Prepare T1 scans for training.

        Each scan is masked, corrected for bias field (N4), aligned to MNI152, resampled
        once onto a common grid, and scaled to [0, 1] within the brain. The output is a
        BIDS derivative; each sidecar has the transform back to native space. Subjects
        are split into training and validation. A second run does what is missing. A
        scan that cannot be prepared is reported at the end and does not stop the
        others; the exit status is then 1. The page quality.html shows every volume, the
        highest outlier score first.

        Parameters
        ----------
        input_files : variable string or Path
            A folder (BIDS, NFBS, CC359, IXI or any other), T1 files, or wildcards in
            quotation marks.
        mask_path : variable string or Path, optional
            Brain masks: a folder, files or wildcards, matched by subject, session and
            run, by a name that contains that of the scan, or as the only one in a
            folder with one scan. Those of a BIDS, NFBS or CC359 folder are found
            without this option.
        labels : variable string or Path, optional
            Label maps of any integers (lesions, tissues, structures), named by dseg.tsv
            in their folders: a folder, files or wildcards, matched as masks are. Models
            that are trained on the cohort generate them with the image; scans without
            one train the image alone.
        layout : string, optional
            Naming of the files: auto, bids, nfbs, cc359, ixi or files.
        brain : string, optional
            Source of the brain mask: auto (the given mask, the foreground of a
            skull-stripped scan, or deepbet for a whole head), given, nonzero, evac or
            synthseg (DIPY's networks, which download weights), deepbet (pip install
            'dipy_synth[deepbet]'), or none (the whole field of view).
        no_bias : bool, optional
            Skip the bias field correction.
        align : string, optional
            Alignment to MNI152: rigid (sizes are kept), affine, or none (the grid is
            centred on each brain).
        scaling : string, optional
            Intensities that become 0 and 1: percentile of the brain, or its minmax.
        percentiles : variable float, optional
            The two percentiles. If None, 0.5 and 99.5.
        order : int, optional
            Order of the interpolation: 3 (cubic, clipped to the native range) or 1
            (linear).
        regrid : string, optional
            Resampling: grid (one interpolation at the voxels of the grid), or dipy
            (transform_img, as for DIPY's networks, with 128 voxels of 2 mm around each
            brain; it needs --align none).
        grid_shape : variable int, optional
            Number of voxels to the right, anterior and superior. If None, the extent of
            80 x 96 x 80 voxels of 2 mm, in multiples of 8 voxels.
        voxel_size : variable float, optional
            Voxel size in mm, one or three numbers. If None, 2.
        engine : string, optional
            Parallel engine: serial, joblib, dask or ray.
        n_jobs : int, optional
            Number of scans at a time, for an engine other than serial; -1 uses all
            processors.
        scheduler : string, optional
            Address of a dask scheduler, such as tcp://host:8786. Its workers need this
            package and must see the same files.
        validation_fraction : float, optional
            Fraction of the subjects for validation.
        seed : int, optional
            Random seed of the split.
        stratify : variable string, optional
            Columns of participants.tsv to stratify the split by, for instance age sex.
        out_dir : string or Path, optional
            Output folder: a new one, or one to complete.
        """
        # DIPY's parser turns the word "none" into None.
        preprocessing = PreprocessConfig(
            brain=brain or "none",
            bias=not no_bias,
            align=align or "none",
            scaling=scaling,
            percentiles=percentiles or PreprocessConfig.percentiles,
            order=order,
            regrid=regrid,
            grid=make_grid(grid_shape, voxel_size, GRIDS.get(regrid)),
        )
        records = read_records(
            input_files, mask_paths=mask_path, label_paths=labels, layout=layout
        )
        answers = prepare_cohort(
            records,
            out_dir,
            preprocessing=preprocessing,
            engine=engine,
            n_jobs=n_jobs,
            scheduler=scheduler,
            force=self._force_overwrite,
            validation_fraction=validation_fraction,
            seed=seed,
            stratify=stratify or (),
            label_names=names_beside(labels or ()),
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}
        passed = report_scans(answers, "prepared", out_dir)
        if not all(problem for _, problem in answers):
            from dipy_synth.report import quality_page

            logger.info(f"Quality page: {quality_page(out_dir)}")
        return passed
