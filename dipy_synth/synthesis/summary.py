"""The tables and the picture of a synthetic cohort."""

import numpy as np

from dipy_synth.data.nifti import read_volume
from dipy_synth.data.prepared import sidecar_path
from dipy_synth.errors import remedy
from dipy_synth.synthesis.outputs import PICTURE, volumes_there
from dipy_synth.utils.derivative import describe_columns
from dipy_synth.utils.files import read_object, write_json
from dipy_synth.utils.montage import save_montage
from dipy_synth.utils.tables import write_table

COLUMNS = {
    "sample": {"Description": "Number of the sample, from 0; equal noise in a sweep"},
    "matched_id": {"Description": "participant_id in the table that was matched"},
}


def _intact(path):
    """Say what helps where a volume, or its sidecar, cannot be read."""
    return remedy(f"without {path} the same command generates this volume anew")


def read_sidecar(path, *, needed):
    """Read the sidecar of a volume, with the keys and types that are needed: dict."""
    with _intact(path):
        return read_object(sidecar_path(path), needed=needed)


def _read_volume(path):
    with _intact(path):
        return read_volume(path)[0]


def write_cohort_table(out_dir, request, schema):
    """Write participants.tsv and its .json from the existing sidecars."""
    rows = []
    for path in volumes_there(out_dir):
        sidecar = read_sidecar(path, needed={"SampleNumber": int, "Conditions": dict})
        row = {"participant_id": path.parts[-3]}
        if request.sweep:
            row["sample"] = sidecar["SampleNumber"]
        if "MatchedId" in sidecar:
            row["matched_id"] = sidecar["MatchedId"]
        rows.append(row | sidecar["Conditions"])
    write_table(out_dir / "participants.tsv", rows)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = describe_columns(names, {**COLUMNS, **_described_conditions(schema)})
    write_json(out_dir / "participants.json", columns)


def _described_conditions(schema):
    """Describe a model's conditions as columns of a table: dict."""
    described = {}
    for column in schema.columns:
        text = f"Condition of the model: requested {column.name}"
        if column.kind == "category":
            levels = {value: value for value in column.categories}
            described[column.name] = {"Description": text, "Levels": levels}
        else:
            text += f"; the training data had {column.low:g} to {column.high:g}"
            described[column.name] = {"Description": text}
        if column.name == "age":
            described["age"]["Units"] = "year"
    return described


def draw_cohort(out_dir, request, paths):
    """Draw the first volumes; of a sweep one row per sample, with spread values."""
    variants = request.variants()
    if len(variants) == 1:
        groups = [range(min(len(paths), 8))]
        names = [paths[i].parts[-3] for i in (0, groups[0][-1])]
        titles = [" to ".join(dict.fromkeys(names))]
    else:
        places = np.linspace(0, len(variants) - 1, min(len(variants), 8)).astype(int)
        samples = range(min(len(paths) // len(variants), 4))
        groups = [s * len(variants) + places for s in samples]
        values = ", ".join(" ".join(map(str, variants[i].values())) for i in places)
        titles = [f"sample {s}, {' '.join(request.sweep)}: {values}" for s in samples]
    rows = [[_read_volume(paths[i]) for i in group] for group in groups]
    save_montage(out_dir / PICTURE, rows, titles=titles)
