"""Reconstruction of scans by an autoencoder, in native space, with metrics.

The autoencoder bounds the quality of samples of a model of its latents. Metrics are
computed twice: on the model's grid, for the network alone, and against the scan, with
the losses of preparation and resampling.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from dipy_synth import __version__
from dipy_synth.data.intensities import clip_outliers
from dipy_synth.data.nifti import read_volume, write_volume
from dipy_synth.data.operations import correct_bias
from dipy_synth.data.prepared import prepared_path, read_prepared, sidecar_path
from dipy_synth.data.preprocess import restore_t1
from dipy_synth.grid import model_grid
from dipy_synth.metrics.similarity import psnr, ssim
from dipy_synth.models import describe_model
from dipy_synth.networks.conversion import need_weights
from dipy_synth.synthesis.scans import (
    PREPARED,
    describe_results,
    each_scan,
    is_made,
    prepare_scans,
    remove_results,
    result_path,
    results_there,
)
from dipy_synth.utils.derivative import OutputFolder
from dipy_synth.utils.files import read_object, write_json
from dipy_synth.utils.lock import locks
from dipy_synth.utils.montage import difference_images, save_montage
from dipy_synth.utils.tables import write_table

KIND = "reconstruction"
SUFFIX = "_desc-reconstructed_T1w.nii.gz"
SHOWN = 8
README = """
T1-weighted brains, encoded and decoded by the autoencoder of a model of dipy_synth
(`dipy_reconstruct_mri`), each in the space of its scan. They show the losses of the
autoencoder. `Model` in dataset_description.json and in each sidecar is the model.
reconstruction.tsv has PSNR and SSIM inside the brain, on the grid of the model and
against the scan; reconstruction.png shows the first scans; the folder prepared, where
there is one, holds the scans on the grid.
"""


@locks("out_dir")
def reconstruct_cohort(vqvae, scans, out_dir, *, brain="auto", force=False):
    """Reconstruct scans, each in its native space, or resume an interrupted run.

    Scans are prepared as the model's cohort was, in the folder ``prepared`` of
    `out_dir`. Existing reconstructions are kept; a scan that fails is returned with its
    error and does not stop the others.

    Parameters
    ----------
    vqvae : VQVAE
        A model with weights.
    scans : list of Record, or str or Path
        Scans, see `dipy_synth.data.readers.read_records`; or a prepared cohort on
        the model's grid, which is used as it is.
    out_dir : str or Path
        Output folder. Each volume is
        ``sub-X/anat/<key>_desc-reconstructed_T1w.nii.gz``, float32, on the voxels and
        in the unit of its scan, 0 outside of the brain. Beside it lies a sidecar;
        reconstruction.tsv has the metrics of all, and reconstruction.png shows the
        first eight scans on the grid.
    brain : str, optional
        Source of the brain masks, see `dipy_synth.data.brain_extraction.find_brain`.
        All other preprocessing is that of the model's cohort.
    force : bool, optional
        Replace existing reconstructions, also those of another model.

    Returns
    -------
    list of tuple (str, str or None)
        Key of each scan, and its error message.

    Raises
    ------
    InputError
        If `out_dir` holds something else, the cohort has another grid, or the model
        is of images.

    Notes
    -----
    PSNR and SSIM are means inside the brain. On the grid they compare with the
    prepared volume. In native space they compare with the scan on its own voxels,
    corrected for the bias field where its preparation was; the data range is that of
    the intensities that become 0 and 1. The losses of the two resamplings, and of
    intensities beyond that range, are included. For a prepared cohort, whose scans
    may be elsewhere, they are not available.
    """
    out_dir, _ = Path(out_dir), need_weights(vqvae.network)
    model_grid(vqvae.config)
    folder = OutputFolder(out_dir, KIND, besides=(PREPARED,))
    request = {"ModelHash": vqvae.config["weights_sha256"]}
    different = folder.check(request, force=force)
    found = prepare_scans(vqvae.config, scans, out_dir, brain=brain, force=force)
    if found.good:
        if different:
            remove_results(out_dir, SUFFIX)
        source = found.link(out_dir)
        describe_results(
            folder,
            request,
            vqvae,
            source,
            name="T1 brains, reconstructed by dipy_synth",
            readme=README,
            ignored=("reconstruction.*", PREPARED),
        )
        found.problems.update(_reconstruct(vqvae, found, source, out_dir, force))
    return [*found.problems.items()]


def _reconstruct(vqvae, scans, source, out_dir, force):
    """Reconstruct prepared scans one by one; return the errors by key."""

    def work(key):
        return _one(vqvae, scans, source, key, out_dir, force=force)

    problems, made = each_scan(work, scans.good, desc="reconstructions")
    _write_table(out_dir)
    good = [key for key, words in problems.items() if words is None]
    if good and (made or not (out_dir / "reconstruction.png").is_file()):
        _draw(vqvae, scans.root, good[:SHOWN], out_dir)
    return problems


def _one(vqvae, scans, source, key, out_dir, *, force):
    """Reconstruct one prepared scan; return whether it was not done before."""
    image, target = prepared_path(scans.root, key), result_path(out_dir, key, SUFFIX)
    sidecar, origin = sidecar_path(target), scans.origin(key)
    if is_made(target, origin, force=force):
        return False
    prepared = read_prepared(image)
    decoded = vqvae.reconstruct(prepared.data)
    restored, affine = restore_t1(replace(prepared, data=decoded))
    source_sidecar = read_object(sidecar_path(image), needed={"Preprocessing": dict})
    bias = source_sidecar["Preprocessing"].get("bias")
    metrics = _on_grid(prepared, decoded)
    metrics |= _in_native(prepared, restored, scans.natives.get(key), bias=bias)
    sidecar.unlink(missing_ok=True)
    write_volume(target, restored, affine)
    content = {
        "Description": "T1 brain, encoded and decoded by a quantised autoencoder",
        "Sources": [source.uri(image)],
        "SourceHash": origin,
        "SkullStripped": source_sidecar.get("SkullStripped", True),
        "Model": describe_model(vqvae.folder, vqvae.config, root=out_dir),
        "Metrics": metrics,
        "DipySynthVersion": __version__,
    }
    write_json(sidecar, content)  # last: it marks completion
    return True


def _on_grid(prepared, decoded):
    """Compare with the prepared volume, inside the brain."""
    pair = (prepared.data, decoded)
    return {
        "psnr_grid_db": round(psnr(*pair, mask=prepared.mask), 3),
        "ssim_grid": round(ssim(*pair, mask=prepared.mask), 4),
    }


def _in_native(prepared, restored, native, *, bias):
    """Compare with the scan, inside the brain resampled from the grid."""
    if native is None:
        return {"psnr_native_db": None, "ssim_native": None}
    mask = prepared.mask.astype(np.float32)
    back = restore_t1(replace(prepared, data=mask, intensity_range=(0.0, 1.0)))[0]
    inside, (low, high) = back > 0.5, prepared.intensity_range
    data, affine = read_volume(native)
    data, _ = clip_outliers(data, inside)
    if bias:  # the reconstruction has no bias field
        data = correct_bias(data, inside, affine)
    pair = (np.where(inside, data, 0), restored)
    options = {"mask": inside, "data_range": high - low}
    return {
        "psnr_native_db": round(psnr(*pair, **options), 3),
        "ssim_native": round(ssim(*pair, **options), 4),
    }


def _write_table(out_dir):
    """Write reconstruction.tsv: the metrics of all reconstructions."""
    rows = []
    for scan, path in results_there(out_dir, SUFFIX).items():
        metrics = read_object(path, needed={"Metrics": dict})["Metrics"]
        rows.append({"subject": scan.split("_")[0], "scan": scan, **metrics})
    write_table(out_dir / "reconstruction.tsv", rows)


def _draw(vqvae, root, keys, out_dir):
    """Draw scans on the grid, originals above and reconstructions below."""
    originals = [read_prepared(prepared_path(root, key)).data for key in keys]
    rows = [originals, [vqvae.reconstruct(volume) for volume in originals]]
    rows.append(difference_images(*rows))
    titles = ["originals", "reconstructions", "difference"]
    save_montage(out_dir / "reconstruction.png", rows, titles=titles, columns=SHOWN)
