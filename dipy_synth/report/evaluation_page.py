"""The page of an evaluation, with the findings first."""

from datetime import date
from html import escape
from pathlib import Path

import numpy as np

from dipy_synth import __version__
from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import foreground
from dipy_synth.metrics.sharpness import radial_power
from dipy_synth.metrics.verdicts import BRAIN_METRICS
from dipy_synth.report.charts import Series, band_svg, chart_svg, place_svg
from dipy_synth.report.evaluation_template import EVALUATION_PAGE, MORE_STYLE
from dipy_synth.report.gallery import (
    means_and_stds,
    mosaics,
    neighbor_pairs,
    sprites,
)
from dipy_synth.report.html_tables import html_table
from dipy_synth.report.methods import methods_text
from dipy_synth.report.template import STYLE
from dipy_synth.report.viewer import SCRIPT, VIEWER
from dipy_synth.utils.cells import column_number
from dipy_synth.utils.files import write_text

QUESTIONS = {
    "not noise": "Brains, not noise?",
    "alike": "Like real ones?",
    "diverse": "As diverse?",
    "not copied": "Not copied?",
    "as asked": "As asked?",
    "of use": "Of use?",
}
_CHIPS = {True: ("yes", "yes"), False: ("no", "no"), None: ("open", "not shown")}
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
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise InputError(f"{path}: expected the name of a page, ending in .html")
    cohorts = {"real": real, "synthetic": synthetic}
    page = EVALUATION_PAGE.substitute(
        style=STYLE + MORE_STYLE,
        title=f"Synthetic cohort: {escape(Path(synthetic.name).name)}",
        summary=escape(_summary(evaluation, real, synthetic, train)),
        answers="\n".join(_answer(finding) for finding in evaluation.findings),
        mosaics=mosaics(cohorts),
        viewer=VIEWER,
        sprites=sprites(cohorts),
        means=means_and_stds(cohorts),
        metrics="".join(_metrics(*item) for item in evaluation.distribution.items()),
        texture="".join(_metrics(*item) for item in evaluation.texture.items()),
        warnings="".join(
            f"<li>{escape(words)}</li>" for words in _warnings(evaluation)
        ),
        n_real=evaluation.ranges.n,
        bands="\n".join(_band(name, evaluation) for name in evaluation.ranges.limits),
        failed=_failed(evaluation, synthetic),
        charts="".join(_charts(evaluation, real, synthetic)),
        copies=_copies(evaluation, synthetic, train if show_nearest else None),
        how=_how(evaluation),
        methods=_methods(evaluation, synthetic),
        footer=f"Written by dipy_synth {__version__} on {date.today().isoformat()}. "
        "All metrics are in evaluation.json, metrics.tsv and volumes.tsv.",
        script=SCRIPT,
    )
    write_text(path, page)
    return path


def _summary(evaluation, real, synthetic, train):
    shape = " × ".join(map(str, real.grid.shape))
    sizes = " × ".join(f"{size:g}" for size in real.grid.voxel_size)
    trained = f"; {len(train)} training volumes" if train is not None else ""
    return (
        f"{len(synthetic)} synthetic volumes beside {len(real)} real ones{trained}; "
        f"{shape} voxels of {sizes} mm; features: "
        f"{evaluation.about['extractor']['name']}"
    )


def _answer(finding):
    style, word = _CHIPS[finding.good]
    return (
        f"<tr><td>{QUESTIONS[finding.question]}</td>"
        f'<td><span class="chip {style}">{word}</span></td>'
        f"<td>{escape(finding.words)}</td></tr>"
    )


def _metrics(ceiling, metrics):
    """Format the metrics with one kind of noise as their ceiling."""
    rows = "".join(
        f"<tr><td>{_title(one.name)}</td>"
        f'<td class="n">{_number(one.value)}</td><td class="n">{_range(one.interval)}'
        f'</td><td class="n">{_number(one.floor)}</td>'
        f'<td class="n">{_number(one.ceiling)}</td>'
        f"<td>{_place(one)}</td>"
        f'<td class="n">{_number(one.normalized)}</td>'
        f'<td class="n">{_range(one.normalized_interval)}</td></tr>'
        for one in metrics
    )
    return (
        f'<div class="wide"><table><tr><th>Metric</th><th class="n">value</th>'
        '<th class="n">95 %</th><th class="n">floor</th>'
        f'<th class="n">ceiling: {escape(ceiling)}</th><th>0 to 1</th>'
        f'<th class="n">normalised</th><th class="n">95 %</th></tr>{rows}</table></div>'
    )


def _title(name):
    if len(name) == 3:
        return name.upper()
    return name.replace("_", " ").capitalize().replace("Auc", "AUC")


def _place(one):
    label = f"{one.name}: {_number(one.normalized)} between real and noise"
    return place_svg(one.normalized, one.normalized_interval, label=label)


def _number(value):
    if not np.isfinite(value):
        return "n/a"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _range(pair):
    return " to ".join(map(_number, pair)) if np.isfinite(pair).all() else ""


def _warnings(evaluation):
    groups = (*evaluation.distribution.values(), *evaluation.texture.values())
    found = [words for group in groups for one in group for words in one.warnings]
    return dict.fromkeys([*found, *evaluation.about["notes"]])


def _band(name, evaluation):
    """Format a row: one metric of anatomy, in real and in synthetic volumes."""
    ranges, verdicts = evaluation.ranges, evaluation.verdicts
    real = [row[name] for row in ranges.real]
    found = [verdict.metrics[name] for verdict in verdicts]
    low, high = ranges.limits[name]
    fail = sum(not low <= value <= high for value in found)
    passes = [_number(low) if np.isfinite(low) else "", _number(high)]
    passes = " to ".join(passes) if np.isfinite(high) else f"{passes[0]} or more"
    words = BRAIN_METRICS[name].words
    label = (
        f"{words}: real {_number(np.mean(real))}, synthetic {_number(np.mean(found))}"
    )
    strip = band_svg(real, found, ranges.limits[name], label=label)
    return (
        f"<tr><td>{words[0].upper()}{words[1:]}</td><td>{strip}</td>"
        f'<td class="n">{_number(np.mean(real))}</td>'
        f'<td class="n">{_number(np.mean(found))}</td><td class="n">{passes}</td>'
        f'<td class="n{" outlier" if fail else ""}">{fail}</td></tr>'
    )


def _failed(evaluation, synthetic):
    """List the volumes that fail, with the reasons."""
    rows = [
        {"Volume": name, "Reasons": "; ".join(verdict.reasons)}
        for name, verdict in zip(synthetic.names, evaluation.verdicts)
        if not verdict.passed
    ]
    if not rows:
        return "<p>Every synthetic volume passes.</p>"
    more = len(rows) - _MOST_LISTED
    note = f'<p class="soft">{more} more are in volumes.tsv.</p>' if more > 0 else ""
    return html_table("Volumes that fail", rows[:_MOST_LISTED], level=3) + note


def _charts(evaluation, real, synthetic):
    """Draw intensities, spectrum, and requested against predicted numbers."""
    sides = (("real", real), ("synthetic", synthetic))
    yield _captioned(
        chart_svg(
            [s for style, v in sides for s in _curves(v, _histogram, style)],
            x="intensity in the brain",
            y="fraction of the voxels",
            label="Histograms of intensities",
        ),
        "Intensities: mean of each cohort, and the middle 80 % of its volumes.",
    )
    yield _captioned(
        chart_svg(
            [s for style, v in sides for s in _curves(v, radial_power, style)],
            x="spatial frequency, of Nyquist",
            y="power",
            log=True,
            label="Radial power spectra",
        ),
        "Power by spatial frequency: below real at the right is blur, above is noise.",
    )
    yield from _age_charts(evaluation, real, synthetic)


def _curves(volumes, function, style):
    """Compute the mean curve of a cohort and the band of its volumes."""
    chosen = volumes.volumes[:: max(len(volumes) // _MOST_READ, 1)]
    found = [function(volume) for volume in chosen]
    x, curves = found[0][0], np.array([curve for _, curve in found])
    yield Series("band", x, np.quantile(curves, [0.1, 0.9], axis=0), style)
    yield Series("line", x, curves.mean(axis=0), style)


def _histogram(volume):
    values = np.asarray(volume, "float32")[foreground(volume)]
    counts, edges = np.histogram(values, bins=_BINS, range=(0, 1))
    return (edges[1:] + edges[:-1]) / 2, counts / max(values.size, 1)


def _age_charts(evaluation, real, synthetic):
    """Draw ventricles by age, and each requested number against its prediction."""
    name = "ventricles_ml"
    if name in evaluation.ranges.limits:
        rows = (evaluation.ranges.real, [v.metrics for v in evaluation.verdicts])
        dots = [
            Series("dots", _column(side, "age"), [row[name] for row in part], style)
            for side, part, style in zip((real, synthetic), rows, ("real", "synthetic"))
        ]
        svg = chart_svg(
            dots,
            x="age, requested of synthetic brains (years)",
            y="ventricles (mL)",
            label="Ventricle volume by age",
        )
        yield _captioned(svg, "Ventricles grow with age.")
    for one in evaluation.asked:
        if "r" not in vars(one.synthetic):
            continue
        svg = chart_svg(
            [
                Series(
                    "dots", _column(synthetic, one.column), one.predicted, "synthetic"
                )
            ],
            x=f"requested {one.column}",
            y=f"predicted {one.column}",
            label=f"{one.column}: requested, and predicted from the volumes",
        )
        words = f"{one.column.capitalize()}: requested, and predicted from each volume."
        yield _captioned(svg, words)


def _column(volumes, name):
    values = [column_number(name, value) for value in volumes.column(name)]
    return [np.nan if value is None else value for value in values]


def _captioned(svg, words):
    if not svg:
        return ""
    return (
        f'<figure>{svg}<figcaption class="soft">{escape(words)}</figcaption></figure>'
    )


def _copies(evaluation, synthetic, train):
    """Write the audits, and the nearest pairs, shown where `train` is given."""
    if not evaluation.copies:
        return (
            "<p>No training volumes were given, so there was no search for copies.</p>"
        )
    rows = [
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
    words = (
        "<p>Flagged samples are nearer to a training brain than nearly all held-out "
        "real brains are. Copies of training brains were planted among the volumes: an "
        "audit that does not find 95 % of each kind says nothing. Below, the samples "
        "that are nearest, in voxels, to a training brain"
        + (".</p>" if train else "; --show_nearest shows it beside each.</p>")
    )
    same = ", ".join(
        f"{one} is {other}" if train else one for one, other in evaluation.identical
    )
    if same:
        words = f"<p>Training volumes, value by value: {escape(same)}.</p>{words}"
    pairs = neighbor_pairs(evaluation.copies["voxels"], synthetic, train)
    return html_table("Audits", rows, level=3) + words + pairs


def _how(evaluation):
    """Describe cohorts, features and seed."""
    about = evaluation.about
    sides = {name: about[name] for name in ("real", "synthetic", "train", "noise")}
    rows = [
        {"": name, "Volumes": side["n"], "From": side["name"], "SHA-256": _short(side)}
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
    return html_table("Cohorts", rows, level=3) + f"<p>{escape(facts)}</p>"


def _methods(evaluation, synthetic):
    """Write a paragraph to be copied into a paper, and what it cites."""
    text, works = methods_text(evaluation, synthetic.name)
    cited = "".join(f"<li>{escape(work)}</li>" for work in works)
    return f"<p>{escape(text)}</p><ul>{cited}</ul>"


def _short(described):
    return f"{described['sha256'][:12]}…" if described["sha256"] else "none"
