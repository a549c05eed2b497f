"""The command dipy_preprocess_t1."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow
import numpy as np

from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess import GRIDS, PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid


class PreprocessT1Flow(Workflow):
    """Prepare a cohort of T1 scans for training."""

    @classmethod
    def get_short_name(cls):
        """Name of the flow within a combined workflow."""
        return "preprocess_t1"

    def run(
        self,
        input_files,
        mask_path=None,
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
        """Prepare a cohort of T1 scans for training.

        Every scan gets a brain mask, is corrected for the coil's shading (N4),
        aligned to MNI152, brought to one grid by a single resampling, and scaled to
        [0, 1] within the brain. The result is a BIDS derivative, each scan with what
        it takes to go back to native space; subjects are divided into training and
        validation. Run again, the command does only what is missing. A scan that
        cannot be prepared is told at the end and does not stop the others; the exit
        status is then 1. A page to look at, quality.html, shows every volume, the
        highest outlier score first.

        Parameters
        ----------
        input_files : variable string or Path
            A folder (BIDS, NFBS, CC359, IXI or any other), T1 files, or wildcards in
            quotation marks.
        mask_path : variable string or Path, optional
            Brain masks: a folder, files, or wildcards. Each scan takes the mask with
            its own subject, session and run, with its own name in the mask's, or, of a
            folder with this scan alone, the only one in it. Masks of a BIDS, NFBS or
            CC359 folder are found without it.
        layout : string, optional
            How files are named: auto, bids, nfbs, cc359, ixi or files.
        brain : string, optional
            Where the brain mask comes from: auto (the mask that is given, what is not
            background in a skull-stripped scan, or deepbet for a whole head), given,
            nonzero, evac or synthseg (of DIPY; they download weights), deepbet (pip
            install 'dipy_synth[deepbet]'), or none (the whole field of view).
        no_bias : bool, optional
            Leave out the bias field correction.
        align : string, optional
            Alignment to MNI152: rigid (sizes are kept), affine, or none (the grid is
            centred on each brain).
        scaling : string, optional
            Intensities that become 0 and 1: percentile of the brain, or its minmax.
        percentiles : variable float, optional
            The two percentiles; 0.5 and 99.5 by default.
        order : int, optional
            Order of resampling: 3 (cubic, within the native range) or 1 (linear).
        regrid : string, optional
            How a scan gets to its grid: grid (one interpolation at the grid's
            voxels), or dipy (transform_img, as DIPY's networks do: 128 128 128 voxels
            of 2 mm around each brain; it takes --align none).
        grid_shape : variable int, optional
            Number of voxels of the grid, right, anterior, superior; by default 80 96
            80 for voxels of 2 mm, and the same extent, in multiples of 8, for others.
        voxel_size : variable float, optional
            Voxel size of the grid in mm, one or three numbers; 2 by default.
        engine : string, optional
            What runs scans in parallel: serial, joblib, dask or ray.
        n_jobs : int, optional
            Scans at a time; -1 for all processors. For engines other than serial.
        scheduler : string, optional
            Address of a dask scheduler, tcp://host:8786: the workers of a cluster, who
            see the same files, do the work.
        validation_fraction : float, optional
            Part of the subjects kept for validation.
        seed : int, optional
            Seed of that division.
        stratify : variable string, optional
            Columns of participants.tsv on which both sides should agree, for instance
            age sex.
        out_dir : string or Path, optional
            The prepared cohort: a new folder, or one to complete.
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
        records = read_records(input_files, mask_paths=mask_path, layout=layout)
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
        )
        self.last_generated_outputs = {"out_dir": str(out_dir)}
        failed = [words for _, words in answers if words]
        logger.info(f"{len(answers) - len(failed)} scans are ready in {out_dir}")
        for words in failed:
            logger.error(words)
        if len(failed) < len(answers):
            from dipy_synth.report import quality_page

            logger.info(f"A page to look at: {quality_page(out_dir)}")
        if failed:
            raise InputError(
                f"{len(failed)} of {len(answers)} scans could not be prepared, each is "
                "told above"
            )


def make_grid(shape=None, voxel_size=None, default=None):
    """Build a grid from what a user tells; the default extent where he tells none.

    Parameters
    ----------
    shape : sequence of int, (3,), optional
        Number of voxels.
    voxel_size : sequence of float, (3,) or (1,), optional
        In mm; one number stands for three.
    default : Grid, optional
        What is meant when nothing is told; ``Grid()`` by default.

    Returns
    -------
    Grid
    """
    default = default or Grid()
    sizes = tuple(voxel_size or default.voxel_size)
    sizes = sizes * 3 if len(sizes) == 1 else sizes
    if shape is None and len(sizes) == 3 and all(size > 0 for size in sizes):
        # Multiples of 8, for a network that halves three times.
        shape = 8 * np.ceil(default.extent / sizes / 8 - 1e-6)
    return Grid(default.shape if shape is None else shape, sizes, default.center)
