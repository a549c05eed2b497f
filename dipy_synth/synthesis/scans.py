"""Real scans for a model: prepared as its cohort was, and processed one by one."""

from dataclasses import dataclass
from pathlib import Path

from dipy.utils.logging import logger

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.prepared import is_prepared_cohort, prepared_path, sidecar_path
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.errors import InputError
from dipy_synth.grid import model_grid
from dipy_synth.models import describe_model
from dipy_synth.utils.derivative import SourceLink, differences
from dipy_synth.utils.files import file_hash, read_object, read_optional_object
from dipy_synth.utils.progress import progress_bar

PREPARED = "prepared"  # where in out_dir the scans on the grid are kept


@dataclass(frozen=True)
class Scans:
    """Scans on the grid of a model: the prepared cohort `root` that holds them.

    By key, `natives` has the file of each scan, none for a cohort that was prepared
    before, and `problems` its error message or None.
    """

    root: Path
    natives: dict
    problems: dict

    @property
    def good(self):
        """Keys of the scans that could be prepared: list of str."""
        return [key for key, words in self.problems.items() if words is None]

    @property
    def rows(self):
        """Table row of each scan, by key: dict of str to dict."""
        cohort = Cohort.load(self.root)
        return dict(zip(cohort.keys, cohort.rows))

    def link(self, out_dir):
        """Link the prepared cohort as the source of `out_dir`: SourceLink."""
        return SourceLink.to(self.root, root=out_dir, name="prepared")

    def origin(self, key):
        """Hash the prepared volume of a scan and its sidecar: str."""
        image = prepared_path(self.root, key)
        return file_hash(image, sidecar_path(image))


def find_scans(input_files, *, mask_paths=None, layout="auto"):
    """Find the scans among the input files of a command, for `prepare_scans`.

    They are a prepared cohort alone, or input of `read_records`.
    """
    if len(input_files) == 1 and is_prepared_cohort(input_files[0]):
        return input_files[0]
    return read_records(input_files, mask_paths=mask_paths, layout=layout)


def report_scans(answers, done, out_dir):
    """Log the outcome of a command on scans; return whether none failed.

    `answers` are keys of scans with error messages; `done` is a participle, such as
    "edited".
    """
    failed = [problem for _, problem in answers if problem]
    for problem in failed:
        logger.error(problem)
    if failed:
        logger.error(f"{len(failed)} of {len(answers)} scans could not be {done}")
    logger.info(f"{len(answers) - len(failed)} {done} scans in {out_dir}")
    return not failed


def prepare_scans(config, scans, out_dir, *, brain="auto", force=False):
    """Prepare scans as the cohort of a model was, into a folder of `out_dir`: Scans.

    A prepared cohort on the model's grid is used as it is; on another grid it is an
    InputError, and so is a model of images.
    """
    grid = model_grid(config)
    if isinstance(scans, (str, Path)):
        cohort = Cohort.load(scans)
        if cohort.grid != grid:
            raise InputError(f"{scans}: on {cohort.grid}, expected the model's {grid}")
        return Scans(cohort.root, {}, dict.fromkeys(cohort.keys))
    options = {"force": force, "validation_fraction": 0}
    options["preprocessing"] = PreprocessConfig.of_model(config, brain=brain)
    answers = prepare_cohort(scans, out_dir / PREPARED, **options)
    natives = {record.key: record.image for record in scans}
    problems = {record.key: words for record, words in answers}
    return Scans(out_dir / PREPARED, natives, problems)


def describe_results(folder, request, model, source, **options):
    """Describe the dataset of a command on scans (BIDS).

    `options` are ``name``, ``readme`` and ``ignored`` of `OutputFolder.describe`.
    """
    raw = read_optional_object(source.folder / "dataset_description.json")
    folder.describe(
        request,
        License=raw.get("License"),
        SourceDatasets=[{"URL": source.address}, *raw.get("SourceDatasets", [])],
        DatasetLinks=source.links,
        Model=describe_model(model.folder, model.config, root=folder.root),
        **options,
    )


def result_path(out_dir, key, end):
    """Return the path of what is made of a scan, ``out_dir/sub-X/anat/<key><end>``."""
    return out_dir / key.split("_")[0] / "anat" / f"{key}{end}"


def results_there(out_dir, end):
    """Return the sidecars of the volumes that end so, by the key of the scan: dict."""
    end = end.replace(".nii.gz", ".json")
    paths = sorted(out_dir.glob(f"sub-*/anat/*{end}"))
    return {path.name.removesuffix(end): path for path in paths}


def remove_results(out_dir, *ends):
    """Remove the volumes that end so, and their sidecars; that of the first last."""
    for key in results_there(out_dir, ends[0]):
        for end in reversed(ends):
            volume = result_path(out_dir, key, end)
            sidecar_path(volume).unlink(missing_ok=True)
            volume.unlink(missing_ok=True)


def each_scan(work, keys, *, desc):
    """Process scans one by one; one that fails does not stop the others.

    ``work(key)`` returns False if the output existed. Return the error message of each
    scan, None if it has none, and the number of new outputs.
    """
    problems, made = {}, 0
    for key in progress_bar(keys, unit="scan", desc=desc):
        try:
            made += work(key)
            problems[key] = None
        except Exception as error:  # one scan must not stop the others
            logger.debug("%s failed", key, exc_info=True)
            ours = isinstance(error, InputError)
            words = str(error) if ours else f"{type(error).__name__}: {error}"
            problems[key] = f"{key}: {words}"
    kept = sum(words is None for words in problems.values()) - made
    logger.info("%s: %d made, %d were there", desc, made, kept)
    return problems, made


def is_made(target, origin, *, force=False, **fields):
    """Return whether the output of a scan exists, made from the same preparation.

    Its sidecar is written last, with the hash of its source. With `force` it counts as
    absent; an output of another preparation of the scan, or with other `fields` in its
    sidecar, is an InputError.
    """
    sidecar = sidecar_path(target)
    if force or not (target.is_file() and sidecar.is_file()):
        return False
    found = read_object(sidecar, needed=["SourceHash", *fields])
    before = {name: found[name] for name in fields}
    problem = "; ".join(differences(before, fields))
    if found["SourceHash"] != origin:
        problem = "it was made from another preparation of this scan"
    if problem:
        raise InputError(
            f"{target}: {problem}; expected --force to replace it, or another out_dir"
        )
    return True
