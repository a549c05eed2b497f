"""The page of an evaluation, with the findings first."""

from pathlib import Path

import numpy as np

from dipy_synth.metrics.array_checks import foreground
from dipy_synth.metrics.sharpness import radial_power
from dipy_synth.metrics.verdicts import BRAIN_METRICS, limits_in_words
from dipy_synth.report.charts import Series, band, chart, place
from dipy_synth.report.gallery import (
    means_and_stds,
    mosaics,
    neighbor_pairs,
    sprites,
)
from dipy_synth.report.methods import methods_text
from dipy_synth.report.rendering import by, number, page_path, sentence, write_page
from dipy_synth.utils.cells import column_number

QUESTIONS = {
    "not noise": "Brains, not noise?",
    "alike": "Like real ones?",
    "diverse": "As diverse?",
    "not copied": "Not copied?",
    "as asked": "As asked?",
    "of use": "Of use?",
}
_BINS, _MOST_LISTED, _MOST_READ = 64, 30, 24


def evaluation_page(
    evaluation, real, synthetic, *, train=None, path, show_nearest=False
):
    """Write one page, without external files or network access.

    Parameters
    ----------
    evaluation : Evaluation
        Results of `dipy_synth.evaluation.pipeline.evaluate`.
    real, synthetic : Volumes
        The compared cohorts.
    train : Volumes, optional
        Training volumes of `evaluate`.
    path : str or Path
        The page, ``.html``.
    show_nearest : bool, optional
        Show the training brains that synthetic ones are nearest to, by name.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If `path` does not end in .html.
    """
    cohorts = {"real": real, "synthetic": synthetic}
    means, top = means_and_stds(cohorts)
    paragraph, works = methods_text(evaluation, synthetic.name)
    return write_page(
        "evaluation.html",
        page_path(path),
        title=f"Synthetic cohort: {Path(synthetic.name).name}",
        summary=_summary(evaluation, real, synthetic, train),
        evaluation=evaluation,
        questions=QUESTIONS,
        mosaics=list(mosaics(cohorts)),
        sprites=list(sprites(cohorts)),
        means=means,
        top=top,
        placed=place,
        bands=[_band(name, evaluation) for name in evaluation.ranges.limits],
        failed=_failed(evaluation, synthetic),
        most_listed=_MOST_LISTED,
        regions=_differences("Region", evaluation.regions),
        labels=_differences("Label", evaluation.labels),
        charts=list(_charts(evaluation, real, synthetic)),
        audits=_audits(evaluation),
        show_nearest=show_nearest,
        **_copies(evaluation, synthetic, train if show_nearest else None),
        **_how(evaluation),
        paragraph=paragraph,
        works=works,
    )


def _summary(evaluation, real, synthetic, train):
    trained = f"; {len(train)} training volumes" if train is not None else ""
    return (
        f"{len(synthetic)} synthetic volumes beside {len(real)} real ones{trained}; "
        f"{by(real.grid.shape)} voxels of {by(real.grid.voxel_size)} mm; features: "
        f"{evaluation.about['extractor']['name']}"
    )


def _band(name, evaluation):
    """Describe one metric of anatomy, in real and in synthetic volumes."""
    real = [row[name] for row in evaluation.ranges.real]
    found = [verdict.metrics[name] for verdict in evaluation.verdicts]
    low, high = evaluation.ranges.limits[name]
    return {
        "words": BRAIN_METRICS[name].words,
        "places": band(real, found, (low, high)),
        "real": np.mean(real),
        "synthetic": np.mean(found),
        "passes": limits_in_words(low, high, number),
        "fail": sum(not low <= value <= high for value in found),
    }


def _failed(evaluation, synthetic):
    """List the volumes that fail, with the reasons."""
    return [
        {"Volume": name, "Reasons": "; ".join(verdict.reasons)}
        for name, verdict in zip(synthetic.names, evaluation.verdicts)
        if not verdict.passed
    ]


def _differences(kind, differences):
    """List the volumes of regions or labels in both cohorts: list of dict."""
    return [
        {
            kind: sentence(one.name),
            **{
                f"{side} (mL)": f"{mean:.1f} ± {std:.1f}"
                for side, (mean, std) in (
                    ("Real", one.real),
                    ("Synthetic", one.synthetic),
                )
            },
            "Difference (SD of real)": f"{one.difference:.2f} "
            f"({one.interval[0]:.2f} to {one.interval[1]:.2f})",
        }
        for one in differences
    ]


def _charts(evaluation, real, synthetic):
    """Yield charts with their captions: intensities, power, age, and conditions."""
    sides = (("real", real), ("synthetic", synthetic))
    yield (
        chart(
            [s for style, v in sides for s in _curves(v, _histogram, style)],
            x="intensity in the brain",
            y="fraction of the voxels",
            label="Histograms of intensities",
        ),
        "Intensities: mean of each cohort, and the middle 80 % of its volumes.",
    )
    yield (
        chart(
            [s for style, v in sides for s in _curves(v, radial_power, style)],
            x="spatial frequency, of Nyquist",
            y="power",
            log="y",
            label="Radial power spectra",
        ),
        "Power by spatial frequency: below real at the right is blur, above is noise.",
    )
    if "ventricles_ml" in evaluation.ranges.limits:
        yield _ventricles_by_age(evaluation, sides), "Ventricles grow with age."
    for one in evaluation.asked:
        if one.synthetic.kind == "number":
            yield _followed(one, synthetic)


def _curves(volumes, function, style):
    """Compute the mean curve of a cohort and the band of its volumes."""
    chosen = volumes.volumes[:: max(len(volumes) // _MOST_READ, 1)]
    found = [function(volume) for volume in chosen]
    x, curves = found[0][0], np.array([curve for _, curve in found])
    yield Series("area", x, np.quantile(curves, [0.1, 0.9], axis=0), style)
    yield Series("line", x, curves.mean(axis=0), style)


def _histogram(volume):
    values = np.asarray(volume, "float32")[foreground(volume)]
    counts, edges = np.histogram(values, bins=_BINS, range=(0, 1))
    return (edges[1:] + edges[:-1]) / 2, counts / max(values.size, 1)


def _ventricles_by_age(evaluation, sides):
    """Draw the volume of the ventricles by age."""
    rows = (evaluation.ranges.real, [v.metrics for v in evaluation.verdicts])
    return chart(
        [
            Series(
                "dots",
                _numbers("age", side.column("age")),
                [row["ventricles_ml"] for row in part],
                style,
                side.names,
            )
            for (style, side), part in zip(sides, rows)
        ],
        x="age, requested of synthetic brains (years)",
        y="ventricles (mL)",
        label="Ventricle volume by age",
    )


def _followed(one, synthetic):
    """Draw a requested number against its prediction, beside real volumes."""
    found = chart(
        [
            Series(
                "dots",
                _numbers(one.column, one.real_known),
                one.real_predicted,
                "real",
            ),
            Series(
                "dots",
                _numbers(one.column, synthetic.column(one.column)),
                one.predicted,
                "synthetic",
                synthetic.names,
            ),
        ],
        x=f"{one.column}, requested; known of real volumes",
        y=f"predicted {one.column}",
        label=f"{one.column}: requested, and predicted from the volumes",
        identity=True,
    )
    return found, (
        f"{one.column.capitalize()}: requested, and predicted from each volume; of "
        "real volumes the known one. Dashed: equal."
    )


def _numbers(name, values):
    values = [column_number(name, value) for value in values]
    return [np.nan if value is None else value for value in values]


def _audits(evaluation):
    """Describe the audits for copies: list of dict."""
    return [
        {
            "Search by": where,
            "As near as copies": int(audit.copies.sum()),
            "Flagged": f"{int(audit.flagged.sum())} of {len(audit.flagged)}",
            "By chance": f"{audit.expected * len(audit.flagged):.1f}",
            "p": f"{audit.p_value:.3g}",
            "Planted copies found": ", ".join(
                f"{kind} {share:.0%}" for kind, share in audit.found.items()
            )
            + (" (void)" if audit.void else ""),
        }
        for where, audit in evaluation.copies.items()
    ]


def _copies(evaluation, synthetic, train):
    """List equal volumes and the nearest pairs, shown where `train` is given."""
    equal = evaluation.identical
    named = [f"{one} is {other}" if train else one for one, other in equal]
    audit = evaluation.copies.get("voxels")
    pairs = neighbor_pairs(audit, synthetic, train) if audit else ()
    threshold = audit.threshold if audit else None
    return {"identical": named, "pairs": list(pairs), "threshold": threshold}


def _how(evaluation):
    """Describe cohorts, features and seed."""
    about = evaluation.about
    sides = {name: about[name] for name in ("real", "synthetic", "train", "noise")}
    rows = [
        {
            "Cohort": name,
            "Volumes": side["n"],
            "From": side["name"],
            "SHA-256": _short(side),
        }
        for name, side in sides.items()
        if side
    ]
    extractor = about["extractor"]
    facts = (
        f"Features: {extractor['name']}, weights {_short(extractor)}, on their first "
        f"{extractor['components']} principal components "
        f"({extractor['explained']:.0%} of the variance), fitted on "
        f"{extractor['fitted_on']}. Conditions are predicted by: {about['reader']}. "
        f"Seed {about['seed']}."
    )
    return {"cohorts": rows, "facts": facts}


def _short(described):
    return f"{described['sha256'][:12]}…" if described["sha256"] else "none"
