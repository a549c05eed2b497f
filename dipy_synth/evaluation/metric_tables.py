"""The tables of an evaluation: one row per metric, and per volume."""

import numpy as np

from dipy_synth.evaluation.label_volumes import label_column
from dipy_synth.metrics.parcellation import column
from dipy_synth.metrics.verdicts import count_reasons, limits_in_words


def metric_rows(evaluation):
    """Build the rows of ``metrics.tsv`` of an Evaluation: list of dict.

    Each has ``question``, ``metric``, ``value``, ``low`` and ``high`` (95 %), and,
    where defined, ``floor`` (real against real), ``ceiling``, ``ceiling_is``,
    ``normalized`` with its interval, ``n`` and ``note``; else None.
    """
    rows = [
        *_distribution(evaluation),
        *_anatomy(evaluation),
        *_sizes(evaluation.regions, column, len(evaluation.verdicts)),
        *_sizes(evaluation.labels, label_column, len(evaluation.verdicts)),
        *_diversity(evaluation),
        *_copies(evaluation),
        *_conditioning(evaluation),
        *_downstream(evaluation),
    ]
    names = ("question", "metric", "value", "low", "high", "floor", "ceiling")
    names += ("ceiling_is", "normalized", "normalized_low", "normalized_high")
    names += ("n", "note")
    return [{name: _cell(row.get(name)) for name in names} for row in rows]


def volume_rows(evaluation, synthetic, real, train=None, *, show_nearest=False):
    """Build the rows of ``volumes.tsv``: the synthetic volumes, then the real ones.

    With `show_nearest` the nearest training volumes are named; without it only
    similarities are written.
    """
    rows = []
    for i, (name, verdict) in enumerate(zip(synthetic.names, evaluation.verdicts)):
        row = {"volume": name, "cohort": "synthetic", "passes": verdict.passed}
        row |= {"reasons": "; ".join(verdict.reasons)}
        row |= {f"asked_{key}": value for key, value in synthetic.rows[i].items()}
        row |= {f"read_{one.column}": one.predicted[i] for one in evaluation.asked}
        row |= verdict.metrics | _labels(synthetic, i)
        if evaluation.copies:
            same = dict(evaluation.identical).get(name)
            row |= {"is_training_volume": same if show_nearest else same is not None}
        for where, audit in evaluation.copies.items():
            row |= _neighbor(where, audit.samples, i, train, show_nearest)
            row |= {f"{where}_flagged": bool(audit.flagged[i])}
        rows.append(row)
    for i, (name, metrics) in enumerate(zip(real.names, evaluation.ranges.real)):
        row = {"volume": name, "cohort": "real", "reasons": ""}
        row |= {"passes": evaluation.ranges.left_out[i], **metrics}
        row |= _labels(real, i)
        for where, audit in evaluation.copies.items():
            row |= _neighbor(where, audit.held_out, i, train, show_nearest)
        rows.append(row)
    return [{name: _cell(value) for name, value in row.items()} for row in rows]


def _labels(side, i):
    """Return the volume of each label of one volume, in mL: dict."""
    return {label_column(name): ml for name, ml in (side.labels[i] or {}).items()}


def _neighbor(where, found, i, train, show_nearest):
    index = int(found.index[i])
    name = train.names[index] if train is not None else index
    return ({f"{where}_nearest": name} if show_nearest else {}) | {
        f"{where}_similarity": found.similarity[i],
        f"{where}_flipped": bool(found.flipped[i]),
    }


def _distribution(evaluation):
    comparisons = (*evaluation.distribution.items(), *evaluation.texture.items())
    for ceiling, metrics in comparisons:
        for one in metrics:
            yield {
                "question": "alike",
                "metric": one.name,
                "value": one.value,
                **_ends(one.interval),
                "floor": one.floor,
                "ceiling": one.ceiling,
                "ceiling_is": ceiling,
                "normalized": one.normalized,
                **_ends(one.normalized_interval, "normalized_"),
                "n": one.n,
                "note": "; ".join(one.warnings),
            }


def _anatomy(evaluation):
    verdicts, ranges = evaluation.verdicts, evaluation.ranges
    common = {"question": "not noise", "n": len(verdicts)}
    counts = count_reasons(verdict.reasons for verdict in verdicts)
    yield common | {
        "metric": "share_passing",
        "value": np.mean([verdict.passed for verdict in verdicts]),
        "floor": np.mean(ranges.left_out),
        "note": ", ".join(f"{k} {n}" for k, n in counts.items()),
    }
    for name, limits in ranges.limits.items():
        yield common | {
            "metric": f"mean_{name}",
            "value": np.mean([verdict.metrics[name] for verdict in verdicts]),
            "floor": np.mean([row[name] for row in ranges.real]),
            "note": f"passes: {limits_in_words(*limits)}",
        }


def _sizes(differences, named, n):
    for one in differences:
        low, high = one.interval
        yield {
            "question": "alike",
            "metric": f"mean_{named(one.name)}",
            "value": one.synthetic[0],
            "floor": one.real[0],
            "n": n,
            "note": f"differs by {one.difference:.2f} standard deviations of real "
            f"brains ({low:.2f} to {high:.2f})",
        }


def _diversity(evaluation):
    found = evaluation.diversity["synthetic"]
    yield {
        "question": "diverse",
        "metric": "ms_ssim_of_pairs",
        "value": found.mean,
        **_ends(found.interval()),
        "floor": evaluation.diversity["real"].mean,
        "n": found.n,
        "note": f"{found.pairs} pairs",
    }


def _copies(evaluation):
    for where, audit in evaluation.copies.items():
        common = {"question": "not copied", "n": len(audit.flagged)}
        void = "void: planted copies were missed" if audit.void else ""
        yield common | {
            "metric": f"share_flagged_by_{where}",
            "value": audit.flagged.mean(),
            "floor": audit.expected,
            "note": void or f"p {audit.p_value:.3g}",
        }
        yield common | {
            "metric": f"copies_by_{where}",
            "value": audit.copies.sum(),
            "floor": 0,
            "note": void,
        }
        yield common | {
            "metric": f"planted_copies_found_by_{where}",
            "value": min(audit.found.values()),
            "note": ", ".join(f"{k} {v:.0%}" for k, v in audit.found.items()),
        }


def _conditioning(evaluation):
    for one in evaluation.asked:
        numeric = one.synthetic.kind == "number"
        for name in ("r", "mae") if numeric else ("accuracy",):
            yield {
                "question": "as asked",
                "metric": f"{one.column}_{name}",
                "value": getattr(one.synthetic, name),
                "floor": None if one.real is None else getattr(one.real, name),
                "ceiling": getattr(one.synthetic, f"control_{name}"),
                "ceiling_is": "shuffled",
                "n": one.synthetic.n,
                "note": f"p {one.synthetic.p_value:.3g}",
            }
    trend = evaluation.ageing
    if trend is not None:
        yield {
            "question": "as asked",
            "metric": "ventricles_ml_a_year",
            "value": trend.slope,
            **_ends(trend.interval),
            "floor": trend.real_slope,
            "note": f"p {trend.p_value:.3g}; of real p {trend.real_p_value:.3g}",
        }


def _downstream(evaluation):
    for found in evaluation.downstream:
        yield from _downstream_task(found)


def _downstream_task(found):
    common, name = {"question": "of use", "n": found.n}, found.metric
    mean_age = {"ceiling": found.baseline, "ceiling_is": "mean age"}
    for arm in (*found.arms, *found.ceiling.arms):
        yield common | {
            "metric": f"{name}_trained_on_{arm.trained_on.replace(' ', '_')}",
            "value": arm.score,
            **_ends(arm.interval),
            **({} if found.baseline is None else mean_age),
            "note": f"{arm.n} training brains",
        }
    yield common | {
        "metric": f"{name}_gain",
        "value": found.gain,
        **_ends(found.interval),
        "note": "how much better with both than with real brains alone",
    }
    more = found.ceiling
    yield common | {
        "metric": f"{name}_gain_beside_half",
        "value": more.gain,
        **_ends(more.interval),
        "ceiling": more.real_gain,
        "ceiling_is": f"{more.more} more real brains",
        "note": f"of {more.more} synthetic brains, beside half of the real ones",
    }


def _ends(interval, prefix=""):
    return {f"{prefix}low": interval[0], f"{prefix}high": interval[1]}


def _cell(value):
    """Round a number to five digits; None where there is none."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{value:.5g}" if np.isfinite(value) else None
    return value
