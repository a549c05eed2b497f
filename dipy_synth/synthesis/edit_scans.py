"""Edited scans on disk: each in its own space, with the map of the change."""

from dataclasses import replace
from pathlib import Path

from dipy.utils.logging import logger
import numpy as np

from dipy_synth import __version__
from dipy_synth.data.nifti import read_volume, write_volume
from dipy_synth.data.prepared import prepared_path, read_prepared, sidecar_path
from dipy_synth.data.preprocess import restore_t1
from dipy_synth.data.target import Target
from dipy_synth.errors import InputError
from dipy_synth.grid import model_grid
from dipy_synth.metrics.similarity import psnr
from dipy_synth.models import describe_model
from dipy_synth.networks.conversion import need_weights
from dipy_synth.synthesis.edit import edit_volume
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

KIND = "cohort of edited scans"
EDITED, DIFFERENCE = "_desc-edited_T1w.nii.gz", "_desc-difference_T1w.nii.gz"
EDITED_TEXT = "edited, not a scan as acquired (dipy_synth)"  # in headers
PICTURE, TABLE, SHOWN = "edited.png", "edits.tsv", 6
LEAST_PSNR = 15.0  # dB in the brain, of a scan generated under its own conditions
README = """
T1-weighted scans of real people, changed by a latent diffusion model (`dipy_edit_mri`
of dipy_synth) to what they might be under other conditions: `Conditions` in a sidecar,
where `OwnConditions` are those of the scan. `desc-difference` is the map of the change,
in the unit of the scan; `desc-edited` is the scan with that map added, in the space of
the scan. They show what the model has learned of the conditions, and are no forecast
for a person. `Model` says which model it was; edits.tsv has a row a scan; edited.png
shows the first: scans, edited ones, and differences (grey: none).
"""


@locks("out_dir")
def edit_scans(ldm, scans, out_dir, edit, *, brain="auto", force=False):
    """Edit scans, each in its own space, or resume an interrupted run.

    Scans are prepared as the model's cohort was, in the folder ``prepared`` of
    `out_dir`. Existing edits are kept; a scan that fails is returned with its error and
    does not stop the others.

    Parameters
    ----------
    ldm : LDM
        A model with weights and conditions.
    scans : list of Record, or str or Path
        Scans, see `dipy_synth.data.readers.read_records`; or a prepared cohort on the
        model's grid.
    out_dir : str or Path
        Output folder, a BIDS derivative: ``<key>_desc-edited_T1w.nii.gz`` and
        ``<key>_desc-difference_T1w.nii.gz``, float32, on the voxels and in the unit of
        the scan, each with a sidecar; edits.tsv, and edited.png. Of a prepared cohort,
        whose scans may be elsewhere, the difference is added to the prepared volume.
    edit : Edit
        The change.
    brain : str, optional
        Source of the brain masks, see `dipy_synth.data.brain_extraction.find_brain`;
        not "none".
    force : bool, optional
        Replace existing edits, also those of another edit or model.

    Returns
    -------
    list of tuple (str, str or None)
        Key of each scan, and its error message.

    Raises
    ------
    InputError
        If `out_dir` holds something else, the model has no such conditions or is one of
        images, or `brain` is "none".
    """
    out_dir, _ = Path(out_dir), need_weights(ldm.network)
    model_grid(ldm.config)
    if brain == "none":
        raise InputError(
            "brain none: the model was trained on brains; expected a brain mask, "
            "brain extraction, or skull-stripped scans"
        )
    ldm.schema.check([{**edit.own, **edit.conditions}])
    folder = OutputFolder(out_dir, KIND, besides=(PREPARED,))
    request = {
        "ModelHash": ldm.config["weights_sha256"],
        "Conditions": edit.conditions,
        "Change": edit.change,
        "OwnConditions": edit.own,
        **edit.to_config(),
    }
    different = folder.check(request, force=force)
    found = prepare_scans(ldm.config, scans, out_dir, brain=brain, force=force)
    if found.good:
        if different:
            remove_results(out_dir, EDITED, DIFFERENCE)
        source = found.link(out_dir)
        describe_results(
            folder,
            request,
            ldm,
            source,
            name="T1 scans, edited by dipy_synth",
            readme=README,
            ignored=(PICTURE, TABLE, PREPARED),
        )
        found.problems.update(_edit(ldm, found, source, out_dir, edit, force))
    return [*found.problems.items()]


def _edit(ldm, scans, source, out_dir, edit, force):
    """Edit prepared scans one by one; return the errors by key."""
    rows = scans.rows

    def work(key):
        return _one(ldm, scans, source, key, rows[key], out_dir, edit, force)

    problems, made = each_scan(work, scans.good, desc="edited scans")
    _write_table(out_dir)
    if made or not (out_dir / PICTURE).is_file():
        _draw(scans.root, [k for k, words in problems.items() if not words], out_dir)
    return problems


def _one(ldm, scans, source, key, row, out_dir, edit, force):
    """Edit one prepared scan; return whether it was not done before."""
    image, target = prepared_path(scans.root, key), result_path(out_dir, key, EDITED)
    origin = scans.origin(key)
    own, wanted = edit.rows(row, ldm.schema)
    conditions = {"Conditions": wanted, "OwnConditions": own}
    if is_made(target, origin, force=force, **conditions):
        return False
    if not read_object(sidecar_path(image)).get("SkullStripped", True):
        raise InputError(f"{image}: prepared without a brain mask; expected a brain")
    ldm.schema.check([own, wanted])
    unknown = [n for n in ldm.schema.names if own[n] is None and wanted[n] is not None]
    for name in unknown:
        logger.warning(
            "%s: its own %s is not known (participants.tsv, or --own_conditions "
            "%s=...): the difference is to a brain of any %s",
            *(key, name, name, name),
        )
    prepared = read_prepared(image)
    options = {name.lower(): value for name, value in edit.to_config().items()}
    edited, again = edit_volume(ldm, prepared.data, own, wanted, **options)
    quality = float(psnr(prepared.data, again, mask=prepared.mask))
    if quality < LEAST_PSNR:
        raise InputError(
            f"{image}: generated under its own conditions it is another brain (PSNR "
            f"{quality:.1f} dB; expected {LEAST_PSNR:g} or more): expected more steps, "
            "24 or more"
        )
    change = np.where(prepared.mask, edited - again, np.float32(0))
    sidecar_path(target).unlink(missing_ok=True)
    stripped = _write_volumes(out_dir, key, prepared, change, scans.natives.get(key))
    content = {
        "Sources": [source.uri(image)],
        "SourceHash": origin,
        "SkullStripped": stripped,
        "Model": describe_model(ldm.folder, ldm.config, root=out_dir),
        **conditions,
        **edit.to_config(),
        "ReconstructionPSNR": round(quality, 2),
        "MeanChange": round(float(np.abs(change[prepared.mask]).mean()), 6),
        "DipySynthVersion": __version__,
    }
    _write_sidecars(out_dir, key, content)
    return True


def _write_volumes(out_dir, key, prepared, change, native):
    """Write the difference and the edited scan; return if it is skull-stripped."""
    low, high = prepared.intensity_range
    span = replace(prepared, data=change, intensity_range=(0.0, high - low))
    difference, affine = restore_t1(span)
    brain, _ = restore_t1(prepared)
    scan = brain if native is None else read_volume(native)[0]
    inside = brain != 0
    edited = np.where(difference, scan + difference, scan)
    if inside.any():  # no darker and no brighter than what is in the brain
        limits = scan[inside].min(), scan[inside].max()
        edited = np.where(difference, edited.clip(*limits), scan)
    for end, data in ((DIFFERENCE, difference), (EDITED, edited.astype("float32"))):
        write_volume(result_path(out_dir, key, end), data, affine, words=EDITED_TEXT)
    # a head has three times the voxels of its brain; a brain has a rim
    return bool(np.count_nonzero(scan > low) < 1.5 * np.count_nonzero(inside))


def _write_sidecars(out_dir, key, content):
    """Write both sidecars; that of the edited scan last, since it marks completion."""
    texts = {
        DIFFERENCE: "What an edit by a latent diffusion model changes of a T1 scan, in "
        "the unit of the scan",
        EDITED: "T1 scan of a real person, changed by a latent diffusion model",
    }
    for end, text in texts.items():
        path = sidecar_path(result_path(out_dir, key, end))
        write_json(path, {"Description": text, **content})


def _write_table(out_dir):
    """Write edits.tsv: the conditions of each scan, and its mean change."""
    rows = []
    needed = {"OwnConditions": dict, "Conditions": dict, "MeanChange": object}
    for key, path in results_there(out_dir, EDITED).items():
        sidecar = read_object(path, needed=needed)
        own, asked = sidecar["OwnConditions"], sidecar["Conditions"]
        row = {"scan": key, **{f"own_{name}": value for name, value in own.items()}}
        row |= {f"asked_{name}": value for name, value in asked.items()}
        rows.append({**row, "mean_change": sidecar["MeanChange"]})
    write_table(out_dir / TABLE, rows)


def _draw(root, keys, out_dir):
    """Draw the first scans, edited ones and differences, on the grid of the model."""
    if not keys:
        return
    brains = [read_prepared(prepared_path(root, key)) for key in keys[:SHOWN]]
    changes = [_on_grid(out_dir, key, brain) for key, brain in zip(keys, brains)]
    scans = [brain.data for brain in brains]
    rows = [scans, [np.clip(a + b, 0, 1) for a, b in zip(scans, changes)]]
    rows.append(difference_images(*rows))
    titles = ["scans", "edited", "difference"]
    save_montage(out_dir / PICTURE, rows, titles=titles, columns=SHOWN)


def _on_grid(out_dir, key, prepared):
    """Bring the difference of a scan to the grid, in the unit of the grid."""
    difference, affine = read_volume(result_path(out_dir, key, DIFFERENCE))
    low, high = prepared.intensity_range
    if not difference.any():
        return np.zeros_like(prepared.data)
    target = Target(prepared.data.shape, prepared.voxel_to_native)
    inside = restore_t1(prepared)[0] != 0
    return target.resample(difference, affine, mask=inside, order=1) / (high - low)
