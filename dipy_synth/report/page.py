"""The quality page of a prepared cohort, with outliers first."""

from pathlib import Path

import numpy as np

from dipy_synth.data.align import load_template
from dipy_synth.data.cohort import Cohort
from dipy_synth.data.nifti import read_volume
from dipy_synth.data.operations import resample
from dipy_synth.data.prepared import mask_path, sidecar_path
from dipy_synth.data.split import SPLITS
from dipy_synth.errors import InputError
from dipy_synth.grid import template_space
from dipy_synth.report.charts import strip
from dipy_synth.report.cohort_facts import preprocessing_facts, summarize_columns
from dipy_synth.report.details import detail_pictures
from dipy_synth.report.drawing import histogram_path, outline, slices
from dipy_synth.report.measures import (
    BINS,
    ENOUGH,
    LIMIT,
    SCAN_METRICS,
    measure_quality,
    sorted_by_score,
)
from dipy_synth.report.rendering import by, counted, page_path, sentence, write_page
from dipy_synth.utils.files import read_object
from dipy_synth.utils.montage import mid_slices
from dipy_synth.utils.tables import write_table

TOO_FEW = "too few to tell"
AT_LEAST = 5  # volumes in the first table, even if none is an outlier
DETAILED = 20  # volumes with further slices, at most
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
    path = page_path(Path(prepared) / "quality.html" if path is None else path)
    sidecars = [
        read_object(
            sidecar_path(image),
            needed={"PreparedToNative": list, "Preprocessing": dict},
        )
        for image in cohort.paths
    ]
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
    description = read_object(cohort.root / "dataset_description.json")
    content = _content(cohort, description, ranked, mean, share)
    links = description.get("DatasetLinks") or {}
    detailed = [row.name for row in ranked[:DETAILED]]
    details = {name: detail_pictures(cohort, name, links) for name in detailed}
    options = {"pictures": pictures, "details": details}
    return write_page("quality.html", path, **options, **content)


def _to_native(sidecar):
    """Return the matrix to native axes, and whether it is of an alignment."""
    matrix = np.array(sidecar["PreparedToNative"], dtype=float)[:3, :3]
    return matrix, sidecar["Preprocessing"].get("align") != "none"


def _read_and_drawn(cohort, pictures):
    """Read each volume and its mask once, and draw them."""
    size = cohort.grid.voxel_size
    for key, path in zip(cohort.keys, cohort.paths):
        volume, mask = (_read(p, cohort.grid.shape) for p in (path, mask_path(path)))
        if not mask.any():
            raise InputError(
                f"{mask_path(path)}: the brain mask is all zero, expected a brain"
            )
        label = f"Mid-slices of {key}"
        pictures[key] = slices(volume, mask > 0, size, label=label)
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


def _content(cohort, description, ranked, mean, share):
    """Build the variables of the page's template."""
    outliers = [row for row in ranked if row.stands_out]
    average = np.mean([row.histogram for row in ranked], axis=0)
    top = 1.3 * average.max() or 1.0
    # Outline: where half of the cohort has brain.
    size, label = cohort.grid.voxel_size, "Mean of all volumes"
    places = {key: i for i, key in enumerate(cohort.keys)}
    return {
        "title": f"Quality: {description.get('Name') or cohort.root.name}",
        "summary": _summary(cohort),
        "verdict": _verdict(outliers, ranked),
        "explanation": _explanation(outliers, ranked),
        "shown": len(outliers) or AT_LEAST,
        "columns": [name for name in ("age", "sex") if name in cohort.rows[0]],
        "splits": SPLITS,
        "strips": [one for name in SCAN_METRICS if (one := _strip(name, ranked))],
        "limit": LIMIT,
        "orders": {
            name: (WORDS[name][0], "highest" if side == "high" else "lowest")
            for name, side in SCAN_METRICS.items()
        },
        "mean": slices(mean, share >= 0.5, size, label=label),
        "facts": preprocessing_facts(cohort, description),
        "people": summarize_columns(cohort.rows, cohort.split),
        "template": _template_outline(cohort, description),
        "bins": BINS,
        "mean_histogram": histogram_path(average, top),
        "volumes": [
            _volume(row, places[row.name], ranked, cohort, top) for row in ranked
        ],
    }


def _template_outline(cohort, description):
    """Trace the brain of MNI152 in each plane, where scans were aligned to it."""
    if not template_space(description["DipySynth"].get("Preprocessing")):
        return {}
    brain, affine = load_template()
    matrix, shape = cohort.grid.voxel_map(affine), cohort.grid.shape
    _, inside = resample(brain, brain > 0, matrix, shape, order=1)
    return {f"mni-{i}": outline(p) for i, p in enumerate(mid_slices(inside))}


def _summary(cohort):
    """Summarise the cohort in a line."""
    counts = [f"{int(cohort.where(side).sum())} {side}" for side in SPLITS]
    n, people = len(cohort.keys), len(set(cohort.subjects))
    sizes = cohort.grid.voxel_size
    return (
        f"{counted(n, 'volume')} of {counted(people, 'subject')} "
        f"({', '.join(counts)}); {by(cohort.grid.shape, '{}')} voxels of "
        f"{by(sizes if len({*sizes}) > 1 else sizes[:1])} mm"
    )


def _verdict(outliers, ranked):
    """Summarise the number of outliers in a line."""
    if not outliers and not ranked[0].enough:
        return f"Outliers: {TOO_FEW}. Check all of them"
    if not outliers:
        return "No outliers"
    words = "is an outlier" if len(outliers) == 1 else "are outliers"
    n = counted(len(ranked), "volume")
    return f"{len(outliers)} of {n} {words}: check them first"


def _explanation(outliers, ranked):
    """Explain the meaning of an outlier."""
    if len(ranked) == 1 and not outliers:
        return "One volume cannot be compared with others."
    if not ranked[0].enough:
        warned = "Volumes with warnings of their preparation come first. "
        return (
            f"{warned if outliers else ''}Outlier scores need {ENOUGH} volumes or "
            "more. These are ordered by their difference from the others."
        )
    if outliers:
        return (
            f"Their preparation has warnings, or at least one metric is {LIMIT} robust "
            "standard deviations or more from the cohort's median. That may be a "
            "failed brain mask or alignment, or an unusual brain: see the picture."
        )
    return (
        f"No metric is {LIMIT} robust standard deviations or more from the cohort's "
        "median; the farthest are:"
    )


def _volume(row, place, ranked, cohort, top):
    """Describe one volume, for the first table and its card."""
    metrics = row.outliers if row.stands_out else [*row.outlier_scores][:1]
    reasons = [*row.warnings, *(_reason(name, row, ranked) for name in metrics)]
    return {
        "name": row.name,
        "columns": cohort.rows[place],
        "split": str(cohort.split[place]),
        "score": f"{row.score:.1f}" if row.enough else "n/a",
        "stands_out": row.stands_out,
        "reasons": "; ".join(reasons),
        "metrics": [_metric(name, row) for name in SCAN_METRICS],
        "order": {name: _number(getattr(row, name)) for name in SCAN_METRICS},
        "histogram": histogram_path(row.histogram, top),
    }


def _in_unit(name, value):
    """Format a value of a metric with its unit."""
    _, form, unit = WORDS[name]
    return form.format(value) + unit if np.isfinite(value) else "n/a"


def _reason(name, row, ranked):
    """Describe the distance of a metric from the cohort's median."""
    word, value, z = WORDS[name][0], getattr(row, name), row.z[name]
    median = _in_unit(name, np.nanmedian([getattr(other, name) for other in ranked]))
    if not np.isfinite(value):
        return f"{word} unknown"
    if not row.enough:
        return f"{word} {_in_unit(name, value)} (median {median})"
    side = "above" if z > 0 else "below"
    return (
        f"{word} {_in_unit(name, value)}, {abs(z):.1f} deviations {side} the median "
        f"of {median}"
    )


def _strip(name, ranked):
    """Place one metric of all volumes; None where it is unknown."""
    values = np.array([getattr(row, name) for row in ranked])
    if not np.isfinite(values).any():
        return None
    ends = np.nanmin(values), np.nanmedian(values), np.nanmax(values)
    low, median, high = (WORDS[name][1].format(value) for value in ends)
    word, unit = sentence(WORDS[name][0]), WORDS[name][2]
    return {
        "word": word,
        "median": median + unit,
        "range": f"{low} to {high}",
        "label": f"{word}: {low} to {high}{unit}, median {median}{unit}",
        "dots": strip(
            values,
            [row.z[name] for row in ranked],
            [name in row.outliers for row in ranked],
            [f"{row.name}: {_in_unit(name, getattr(row, name))}" for row in ranked],
        ),
    }


def _metric(name, row):
    """Describe a metric of a card: word, value, z, and whether it is an outlier."""
    word = WORDS[name][0].removeprefix("brain ").removesuffix(" distance")
    value = getattr(row, name)
    known = np.isfinite(value) and row.enough
    return (
        sentence(word.replace("correlation with the ", "")),
        _in_unit(name, value),
        f"{row.z[name]:+.1f}" if known else "",
        name in row.outliers,
    )
