"""The output folder of an evaluation: results, tables and page."""

from pathlib import Path

from dipy_synth.evaluation.metric_tables import metric_rows, volume_rows
from dipy_synth.report.evaluation_page import evaluation_page
from dipy_synth.utils.derivative import OutputFolder
from dipy_synth.utils.files import write_json
from dipy_synth.utils.tables import write_table

NUMBERS = "evaluation.json"


def evaluation_folder(out_dir):
    """Return the output folder of an evaluation, with the record of its request."""
    return OutputFolder(Path(out_dir), "evaluation", record=NUMBERS, group="request")


def write_evaluation(evaluation, out_dir, cohorts, *, request, show_nearest=False):
    """Write evaluation.json, metrics.tsv, volumes.tsv and evaluation.html: its path.

    `cohorts` are those of `load_cohorts`, and `request` that of `evaluation_folder`.
    With `show_nearest` the training volumes nearest to synthetic ones are named and
    shown.
    """
    out_dir = Path(out_dir)
    real, synthetic, train = (cohorts[name] for name in ("real", "synthetic", "train"))
    config = evaluation.to_config(show_nearest=show_nearest)
    write_json(out_dir / NUMBERS, {"request": request, **config})
    write_table(out_dir / "metrics.tsv", metric_rows(evaluation))
    rows = volume_rows(evaluation, synthetic, real, train, show_nearest=show_nearest)
    write_table(out_dir / "volumes.tsv", rows)
    path = out_dir / "evaluation.html"
    return evaluation_page(
        evaluation, real, synthetic, train=train, path=path, show_nearest=show_nearest
    )
