"""Synthetic images on disk: one file of arrays, its origin, and a contact sheet.

Volumes are those of `dipy_synth.synthesis.synthetic_cohort`. Images are small: they are
generated together, stored in one file, and have no affine.
"""

from pathlib import Path

from dipy.utils.logging import logger
import numpy as np

from dipy_synth import __version__
from dipy_synth.errors import InputError
from dipy_synth.models import describe_model, model_hashes
from dipy_synth.synthesis.request import Request
from dipy_synth.utils.derivative import GROUP, OutputFolder
from dipy_synth.utils.files import atomic_path, write_json
from dipy_synth.utils.lock import locks
from dipy_synth.utils.montage import save_montage, stacked_slices
from dipy_synth.utils.progress import volume_bar

KIND = "set of synthetic images"
_COLUMNS, _ROWS = 8, 12  # of the contact sheet
_DEFAULTS = {"engine": "serial", "n_jobs": 1}  # defaults of options for volumes


def check_for_images(**options):
    """Refuse options that are for volumes alone, unless they have their defaults."""
    for name, value in options.items():
        if value and value != _DEFAULTS.get(name):
            raise InputError(
                f"{name}: for volumes of brains, and this is a model of images, which "
                "are made in one process; expected to be left out"
            )


@locks("out_dir")
def synthesize_images(
    ldm, out_dir, *, n=None, request=None, batch_size=64, force=False
):
    """Generate images into one file, or add to existing ones.

    ``images.npz`` is a file of `dipy_synth.data.image_cohort.ArrayCohort`: ``images``,
    uint8 (n, *shape), and the requested ``labels`` (n,), empty where dropped; no labels
    where all are. ``images.json`` describes their generation, ``images.png`` shows the
    first. Files are written atomically, ``images.npz`` last.

    Parameters
    ----------
    ldm : LDM
        A model of images, with weights.
    out_dir : str or Path
        Folder of the files.
    n : int, optional
        Number of samples, see
        `dipy_synth.synthesis.synthetic_cohort.synthesize_cohort`. Existing images are
        kept; a smaller number changes nothing.
    request : Request, optional
        Seed, conditions and settings of the sampler.
    batch_size : int, optional
        Images at a time.
    force : bool, optional
        Replace images that were made by another request or model.

    Returns
    -------
    Path
        ``images.npz``.

    Raises
    ------
    InputError
        If the model is one of volumes, the folder holds something else, or the
        request cannot be met.
    """
    out_dir, request = Path(out_dir).resolve(), (request or Request())
    if ldm.config["grid"] is not None:
        raise InputError(
            f"{ldm.folder}: a model of volumes on a grid; expected a model of images "
            "(synthesize_cohort makes volumes)"
        )
    n = request.count(n)
    samples = [request.sample(number) for number in range(n)]
    ldm.schema.check([sample["Conditions"] for sample in samples])
    request = request.completed(ldm.config["sampling"])
    identity = {**model_hashes(ldm.config), **request.to_config()}
    there = _already_there(out_dir, identity, force=force)
    path = out_dir / "images.npz"
    if len(there):
        logger.info("%s: %d of %d images are there", out_dir, min(len(there), n), n)
    if len(there) >= n:
        return path
    made = _generate(ldm, request, samples[len(there) :], batch_size)
    images = np.concatenate([there, made]) if len(there) else made
    origin = {
        "Synthetic": True,
        "DipySynthVersion": __version__,
        "License": ldm.config.get("license"),
        "Model": describe_model(ldm.folder, ldm.config, root=out_dir),
        GROUP: {"Kind": KIND, **identity},
    }
    write_json(out_dir / "images.json", origin)
    _draw(out_dir / "images.png", images, len(request.variants()))
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, images=images, **_labels(samples))
    return path


def _already_there(out_dir, identity, *, force):
    """Return the images of this request so far; refuse those of another."""
    path = out_dir / "images.npz"
    folder = OutputFolder(out_dir, KIND, record="images.json")
    before = folder.read()
    if not path.exists():
        return ()
    folder.check(identity, before=before, force=force)
    if force:
        path.unlink()  # first: it must not be described by the new sidecar
        return ()
    with np.load(path, allow_pickle=False) as stored:
        return stored["images"]


def _generate(ldm, request, samples, batch_size):
    """Generate the images of samples: ndarray of shape (n, *shape), uint8."""
    with volume_bar(len(samples), desc="synthetic images", unit="image") as done:
        images = ldm.generate(
            seed=request.seed,
            numbers=[sample["SampleNumber"] for sample in samples],
            conditions=[sample["Conditions"] for sample in samples],
            batch_size=batch_size,
            progress=done,
            **request.sampling.to_config(),
        )
    return np.round(255 * np.asarray(images)).astype(np.uint8)


def _labels(samples):
    """Return the requested labels, as numbers if possible; none if all are dropped."""
    labels = [sample["Conditions"].get("label") for sample in samples]
    if all(label is None for label in labels):
        return {}
    labels = ["" if label is None else str(label) for label in labels]
    whole = all(label.isdecimal() for label in labels)
    return {"labels": np.array(labels, dtype=int if whole else str)}


def _draw(path, images, variants):
    """Draw the first images on a contact sheet; of a sweep one row per sample."""
    columns = variants if variants > 1 else _COLUMNS
    shown = images[: columns * _ROWS] / np.float32(255)
    lacking = -len(shown) % columns
    shown = np.concatenate([shown, np.zeros((lacking, *shown.shape[1:]), "float32")])
    slices = [stacked_slices(image) for image in shown]
    starts = range(0, len(slices), columns)
    sheet = np.vstack([np.hstack(slices[i : i + columns]) for i in starts])
    save_montage(path, [[sheet]])
