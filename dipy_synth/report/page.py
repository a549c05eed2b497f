"""The quality page of a prepared cohort, with outliers first."""

from html import escape
from pathlib import Path

import numpy as np

from dipy_synth.data.cohort import SPLITS, Cohort
from dipy_synth.data.nifti import read_volume
from dipy_synth.data.prepared import mask_path, sidecar_path
from dipy_synth.errors import InputError
from dipy_synth.report.drawing import histogram_path, slices_svg, strip_svg
from dipy_synth.report.html_tables import describe_columns, facts_table, html_table
from dipy_synth.report.measures import (
    BINS,
    ENOUGH,
    LIMIT,
    SCAN_METRICS,
    measure_quality,
    sorted_by_score,
)
from dipy_synth.report.template import CARD, QUALITY, whole_page
from dipy_synth.utils.files import read_json, write_text
from dipy_synth.utils.tables import write_table

TOO_FEW = "too few to tell"
AT_LEAST = 5  # volumes in the first table, even if none is an outlier
WORDS = {
    "brain_volume": ("brain volume", "{:,.0f}", " mL"),
    "correlation": ("correlation", "{:.3f}", ""),
    "symmetry": ("symmetry", "{:.3f}", ""),
    "histogram_distance": ("histogram distance", "{:.3f}", ""),
    "tilt": ("tilt", "{:.1f}", "°"),
    "alignment": ("correlation with the template", "{:.3f}", ""),
}


def quality_page(prepared, *, path=None):
    """Write one page that shows every volume of a prepared cohort, by outlier score.

    Each volume is compared with all others by its brain volume, its correlation with
    the mean brain, its symmetry, its intensities, the native head's tilt and the
    correlation with the template, see `measure_quality`. Volumes with warnings of the
    preparation come first. Fewer than 20 volumes have no outliers. The page needs no
    external files or network access. The metrics are also written as a table beside it,
    of the same name with the ending ``.tsv``.

    Parameters
    ----------
    prepared : str or Path
        The prepared cohort of ``dipy_preprocess_t1``. Only the page is written to it,
        if `path` is there.
    path : str or Path, optional
        The page, ``.html``; ``quality.html`` in the cohort's folder by default.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder is not a prepared cohort, has no volume or one that cannot be
        read, or `path` does not end in .html.
    """
    cohort = Cohort.load(prepared)
    path = Path(prepared) / "quality.html" if path is None else Path(path)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise InputError(f"{path}: expected the name of a page, ending in .html")
    sidecars = [read_json(sidecar_path(image)) for image in cohort.paths]
    native = [_to_native(sidecar) for sidecar in sidecars]
    voxel = float(np.prod(cohort.grid.voxel_size)) / 1000
    pictures = {}
    rows, mean, share = measure_quality(
        _read_and_drawn(cohort, pictures),
        names=cohort.keys,
        # An affine alignment changes sizes; the map to native space inverts it.
        voxel_volumes=[voxel * abs(float(np.linalg.det(m))) for m, _ in native],
        voxel_size=cohort.grid.voxel_size,
        orientations=[m for m, _ in native] if all(a for _, a in native) else None,
        alignments=[sidecar.get("AlignmentCorrelation") for sidecar in sidecars],
        warnings=[sidecar.get("Warnings") or () for sidecar in sidecars],
    )
    ranked = sorted_by_score(rows)
    write_table(path.with_suffix(".tsv"), _table(cohort, ranked))
    write_text(path, _page(cohort, ranked, mean, share, pictures))
    return path


def _to_native(sidecar):
    """Return the matrix to native axes, and whether it is of an alignment."""
    matrix = np.array(sidecar["PreparedToNative"], dtype=float)[:3, :3]
    return matrix, sidecar.get("Preprocessing", {}).get("align") != "none"


def _read_and_drawn(cohort, pictures):
    """Read each volume and its mask once, and draw them."""
    size = cohort.grid.voxel_size
    for key, path in zip(cohort.keys, cohort.paths):
        volume, mask = (_read(p, cohort.grid.shape) for p in (path, mask_path(path)))
        label = f"Mid-slices of {key}"
        pictures[key] = slices_svg(volume, mask > 0, size, label=label)
        yield volume, mask


def _read(path, shape):
    """Read and check a volume for the page."""
    data = read_volume(path)[0]
    if data.shape != tuple(shape):
        raise InputError(f"{path}: shape {data.shape}, expected {shape}")
    if not np.isfinite(data).all():
        raise InputError(f"{path}: NaN or infinite voxels, expected [0, 1]")
    return data


def _table(cohort, ranked):
    """Build the rows of quality.tsv, the worst first."""
    split = dict(zip(cohort.keys, cohort.split))
    return [
        {
            "volume": row.name,
            "split": str(split[row.name]),
            "score": f"{row.score:.3f}" if row.enough else None,
            "outliers": ",".join(row.outliers) if row.enough else TOO_FEW,
            "warnings": "; ".join(row.warnings),
            **{name: _number(getattr(row, name)) for name in SCAN_METRICS},
            **{
                f"z_{name}": f"{row.z[name]:.3f}" if row.enough else None
                for name in SCAN_METRICS
            },
        }
        for row in ranked
    ]


def _number(value):
    """Round a number for a table; None where unknown."""
    return f"{value:.5g}" if np.isfinite(value) else None


def _page(cohort, ranked, mean, share, pictures):
    """Compose the page."""
    places = {key: i for i, key in enumerate(cohort.keys)}
    outliers = [row for row in ranked if row.stands_out]
    average = np.mean([row.histogram for row in ranked], axis=0)
    top = 1.3 * average.max() or 1.0
    described = describe_columns(cohort.rows, cohort.split)
    names = [column for column in ("age", "sex") if column in cohort.rows[0]]
    shown = outliers or ranked[:AT_LEAST]
    description = read_json(cohort.root / "dataset_description.json")
    cards = [
        _card(rank, row, cohort, places[row.name], pictures[row.name], top)
        for rank, row in enumerate(ranked)
    ]
    title = str(description.get("Name") or cohort.root.name)
    body = QUALITY.substitute(
        title=escape(title),
        summary=_summary(cohort),
        verdict=_verdict(outliers, ranked),
        explanation=_explanation(outliers, shown),
        columns_head="".join(f"<th>{name.capitalize()}</th>" for name in names),
        outliers="\n".join(
            _outlier(rank, row, ranked, cohort, places[row.name], names)
            for rank, row in enumerate(shown)
        ),
        strips="".join(_strip(name, ranked) for name in SCAN_METRICS),
        limit=LIMIT,
        # Outline: where half of the cohort has brain.
        mean_brain=slices_svg(
            mean, share >= 0.5, cohort.grid.voxel_size, label="Mean of all volumes"
        ),
        facts=facts_table(cohort, description),
        people=html_table("Covariates", described) if described else "",
        mean_histogram=histogram_path(average, top),
        cards="".join(cards),
    )
    more = "All metrics are in the table beside this page (.tsv)."
    return whole_page(f"Quality: {title}", body, more=more)


def _summary(cohort):
    """Summarise the cohort in a line."""
    counts = [f"{int(cohort.where(side).sum())} {side}" for side in SPLITS]
    n, people = len(cohort.keys), len(set(cohort.subjects))
    shape = " × ".join(map(str, cohort.grid.shape))
    sizes = [f"{size:g}" for size in cohort.grid.voxel_size]
    sizes = " × ".join(sizes if len({*sizes}) > 1 else sizes[:1])
    return (
        f"{_count(n, 'volume')} of {_count(people, 'subject')} "
        f"({', '.join(counts)}); {shape} voxels of {sizes} mm"
    )


def _count(n, word):
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def _verdict(outliers, ranked):
    """Summarise the number of outliers in a line."""
    if not outliers and not ranked[0].enough:
        return f"Outliers: {TOO_FEW}. Check all of them"
    if not outliers:
        return "No outliers"
    words = "is an outlier" if len(outliers) == 1 else "are outliers"
    n = _count(len(ranked), "volume")
    return f"{len(outliers)} of {n} {words}: check them first"


def _explanation(outliers, shown):
    """Explain the meaning of an outlier."""
    if not shown[0].enough:
        warned = (
            "Volumes with warnings of their preparation come first. "
            if outliers
            else ""
        )
        return warned + (
            f"Outlier scores need {ENOUGH} volumes or more. These are ordered by their "
            "difference from the others."
            if len(shown) > 1 or outliers
            else "One volume cannot be compared with others."
        )
    if outliers:
        return (
            f"Their preparation has warnings, or at least one metric is {LIMIT} robust "
            "standard deviations or more from the cohort's median. That may be a "
            "failed brain mask or alignment, or an unusual brain: see the picture."
        )
    return (
        f"No metric is {LIMIT} robust standard deviations or more from the cohort's "
        f"median; the farthest {len(shown)} are:"
    )


def _outlier(rank, row, ranked, cohort, place, names):
    """Format a row of the table of outliers."""
    values = [escape(str(cohort.rows[place].get(name) or "")) for name in names]
    side = escape(str(cohort.split[place]))
    cells = "".join(f"<td>{value}</td>" for value in [*values, side])
    metrics = row.outliers if row.stands_out else [*row.outlier_scores][:1]
    reasons = [escape(words) for words in row.warnings]
    reasons = "; ".join([*reasons, *(_reason(name, row, ranked) for name in metrics)])
    return (
        f'<tr><td class="name"><a href="#v{rank}">{escape(row.name)}</a></td>'
        f'<td class="n{" outlier" if row.stands_out else ""}">{_score(row)}</td>'
        f'<td class="why">{reasons}</td>{cells}</tr>'
    )


def _score(row):
    """Format an outlier score, where there are enough volumes."""
    return f"{row.score:.1f}" if row.enough else "n/a"


def _reason(name, row, ranked):
    """Describe the distance of a metric from the cohort's median."""
    word, form, unit = WORDS[name]
    median = np.nanmedian([getattr(other, name) for other in ranked])
    value, z = getattr(row, name), row.z[name]
    if not np.isfinite(value):
        return f"{word} unknown"
    if not row.enough:
        return f"{word} {form.format(value)}{unit} (median {form.format(median)}{unit})"
    side = "above" if z > 0 else "below"
    return (
        f"{word} {form.format(value)}{unit}, {abs(z):.1f} deviations {side} the median "
        f"of {form.format(median)}{unit}"
    )


def _strip(name, ranked):
    """Draw one metric of all volumes."""
    word, form, unit = WORDS[name]
    values = np.array([getattr(row, name) for row in ranked])
    known = values[np.isfinite(values)]
    if not known.size:
        return ""
    z = [row.z[name] for row in ranked]
    chosen = [name in row.outliers for row in ranked]
    ends = [
        form.format(value) for value in (known.min(), np.median(known), known.max())
    ]
    label = f"{word}: {ends[0]} to {ends[2]}{unit}, median {ends[1]}{unit}"
    picture = strip_svg(values, z, chosen, label=label)
    head = f"<b>{word.capitalize()}</b> {ends[1]}{unit}"
    return (
        f'<div>{head} <span class="soft">({ends[0]} to {ends[2]})</span>{picture}</div>'
    )


def _card(rank, row, cohort, place, picture, top):
    """Format the card of one volume."""
    about = [cohort.rows[place].get(name) for name in ("age", "sex")]
    about = [*filter(None, about), cohort.split[place], f"score {_score(row)}"]
    return CARD.substitute(
        anchor=f"v{rank}",
        name=escape(row.name),
        about=escape(" · ".join(map(str, about))),
        slices=picture,
        metrics="".join(_metric(name, row) for name in SCAN_METRICS),
        bins=BINS,
        histogram=histogram_path(row.histogram, top),
    )


def _metric(name, row):
    """Format a row of a card's metrics."""
    word, form, unit = WORDS[name]
    word = word.removeprefix("brain ").removesuffix(" distance")
    word = word.replace("correlation with the ", "").capitalize()
    value, outlier = (
        getattr(row, name),
        ' class="outlier"' if name in row.outliers else "",
    )
    known = np.isfinite(value)
    return (
        f'<tr{outlier}><td>{word}</td><td class="n">'
        f"{form.format(value) + unit if known else 'n/a'}</td>"
        f'<td class="n">{f"{row.z[name]:+.1f}" if known and row.enough else ""}</td>'
        "</tr>"
    )
