"""The page of diagnostics: verdicts with advice, charts, and pictures of denoising."""

from pathlib import Path

import numpy as np

from dipy_synth import __version__
from dipy_synth.diagnostics.denoising_checks import noise_to_signal
from dipy_synth.diagnostics.ladder import CLOSE
from dipy_synth.diagnostics.results import FAIL, PASS, SKIPPED, WARN, count_verdicts
from dipy_synth.report.charts import Series, chart
from dipy_synth.report.drawing import data_uri
from dipy_synth.report.rendering import by, counted, sentence, write_page
from dipy_synth.utils.derivative import OutputFolder
from dipy_synth.utils.files import write_json
from dipy_synth.utils.montage import stacked_slices

NUMBERS = "doctor.json"
_BRIGHTER = 3  # factor of the pictures of errors


def diagnosis_folder(out_dir):
    """Return the output folder of a diagnosis, with the record of its request."""
    return OutputFolder(Path(out_dir), "diagnosis", record=NUMBERS, group="request")


def diagnostics_page(context, results, path, *, request=None):
    """Write one page of verdicts, and a file with their numbers.

    Parameters
    ----------
    context : DiagnosticContext
        The model and its data.
    results : list of CheckResult
        Results of `run_checks`.
    path : str or Path
        The page. ``doctor.json`` is written to its folder.
    request : dict, optional
        The request, of `describe_request`.

    Returns
    -------
    Path
        The page, without external files or network access.
    """
    path, counts = Path(path), count_verdicts(results)
    write_json(
        path.with_name(NUMBERS),
        {
            **({"request": request} if request else {}),
            "model": str(context.ldm.folder),
            "model_hash": context.ldm.config.get("weights_sha256"),
            "version": __version__,
            "verdicts": counts,
            "results": [result.to_json() for result in results],
        },
    )
    pictures = [group for draw in _PICTURES if (group := draw(context))]
    return write_page(
        "diagnostics.html",
        path,
        title=f"Diagnostics: {_name(context)}",
        summary=_summary(context),
        verdict=_verdict(results, counts),
        explanation=_EXPLANATION if counts[FAIL] else _ALL_WELL,
        checks=[(result, *_chart(result)) for result in _worst_first(results)],
        pictures=pictures,
        titles={group["anchor"]: group["title"] for group in pictures},
    )


_EXPLANATION = (
    "Fix failures from the top downwards: one may cause others. Each line has the "
    "result and advice."
)
_ALL_WELL = (
    "No known cause of noise was found. That is no evidence that the volumes are good: "
    "view them, and evaluate them."
)


def _name(context):
    folder = context.ldm.folder
    if folder is None:
        return "a model"
    return context.run.name if context.run else folder.name


def _summary(context):
    counts = [
        counted(0 if latents is None else len(latents), f"{word} latent")
        for word, (latents, _) in (
            ("training", context.side("latents")),
            ("held-out", context.side("held_out")),
        )
    ]
    n = 0 if context.volumes is None else len(context.volumes)
    return (
        f"Volumes of {by(context.ldm.vqvae.network.shape)} voxels, latents of "
        f"{by(context.ldm.network.shape)}; checked with {counts[0]}, {counts[1]} and "
        f"{counted(n, 'volume')}"
    )


def _verdict(results, counts):
    """Summarise the worst verdicts, and the number of skipped checks, in a line."""
    names = {v: [f.name for f in results if f.verdict == v] for v in (FAIL, WARN)}
    words = "No check failed"
    if names[FAIL]:
        words = f"Failed: {'; '.join(names[FAIL])}"
    elif names[WARN]:
        words += f"; warnings: {'; '.join(names[WARN])}"
    left_out = counts[SKIPPED]
    return words + (f" ({left_out} of {len(results)} skipped)" if left_out else "")


def _worst_first(results):
    """Sort results by verdict; within one they stay in the order of the checks."""
    order = (FAIL, WARN, PASS)
    places = {verdict: place for place, verdict in enumerate(order)}
    return sorted(results, key=lambda f: places.get(f.verdict, len(order)))


def _chart(result):
    """Draw the values of a check by noise level: a chart and its caption, or none."""
    values = result.values
    if "noise_to_signal" not in values:
        return None, ""
    draw = next(draw for name, draw in _CHARTS.items() if name in values)
    curves, y, words = draw(values)
    axes = {"x": "noise, times the signal", "y": y, "log": "x"}
    label = f"{sentence(result.name)}: {y} by noise level"
    return chart(curves, label=label, **axes), words


def _error_chart(values):
    """Draw errors of the network beside those of the best linear estimate."""
    noise = values["noise_to_signal"]
    curves = [
        Series(kind, noise, values[name], style)
        for name, style in (("linear_errors", "real"), ("errors", "synthetic"))
        for kind in ("line", "dots")
    ]
    words = "Error of the network (orange) and of the best linear estimate (blue)."
    return curves, "error", words


def _ratio_chart(values):
    """Draw errors of the network as a share of those of a Wiener filter."""
    noise, ratios = values["noise_to_signal"], values["ratios"]
    curves = [
        Series("line", noise, np.ones(len(noise)), "reference"),
        *(Series(kind, noise, ratios, "synthetic") for kind in ("line", "dots")),
    ]
    each = zip(ratios, noise)
    words = "; ".join(f"{ratio:.2f} at noise {level:.2g}" for ratio, level in each)
    words += ". The line is a Wiener filter."
    return curves, "error, of a Wiener filter's", words


def _power_chart(values):
    """Draw relative power by band, the finest on top, with the expected range."""
    noise, bands = values["noise_to_signal"], np.transpose(values["power_ratio"])
    expected = np.repeat(np.array(CLOSE)[:, np.newaxis], len(noise), axis=1)
    curves = [
        Series("area", noise, expected, "passes"),
        Series("line", noise, np.ones(len(noise)), "reference"),
        *(Series("line", noise, band, "faint") for band in bands[:-1]),
        *(Series(kind, noise, bands[-1], "synthetic") for kind in ("line", "dots")),
    ]
    words = "Orange: the finest band; thin: the coarser ones; shaded: expected."
    return curves, "power, of the brain's", words


# by the value of a check that they draw
_CHARTS = {
    "power_ratio": _power_chart,
    "ratios": _ratio_chart,
    "linear_errors": _error_chart,
}


def _denoising_pictures(context):
    """Draw one image with noise at rising levels, the denoised one and its error."""
    if not context.sides():
        return None
    result = context.denoised(context.sides()[0])
    # decoded noisy latents show the input of the network
    truth, noisy, denoised = (
        _decoded(context, latents)
        for latents in (result.truth[:1], result.noisy[:, 0], result.answers[:, 0])
    )
    errors = _BRIGHTER * np.abs(denoised - truth)
    rows = {
        "Noisy": (truth[0], *noisy),
        "Denoised": (None, *denoised),
        f"Error, × {_BRIGHTER}": (None, *errors),
    }
    ratios = noise_to_signal(context, result)
    return {
        "anchor": "denoised",
        "title": "Denoised in one step",
        "words": "Latents of one image, decoded: original, noisy, and denoised by the "
        "network. The denoised image must be complete at the left, a blurred average "
        "at the right, and nowhere noise. Noise about a mean brain looks like a brain: "
        "the last row shows what is wrong.",
        "head": ["original", *(f"noise {ratio:.2g} × signal" for ratio in ratios)],
        "rows": [(name, _encoded(cells)) for name, cells in rows.items()],
    }


def _ladder_pictures(context):
    """Draw the images sampled back from each noise level, beside the originals."""
    ladder = context.ladder
    if ladder is None:
        return None
    return {
        "anchor": "ladder",
        "title": "Ladder: noised, and sampled back",
        "words": "Held-out images, where there are any. The loss from one level to the "
        "next is what the network has not learned there.",
        "head": ["decoded", *(f"from noise {r:g} × signal" for r in ladder.ratios)],
        "rows": [
            (f"Image {i + 1}", _encoded([truth, *ladder.returned[:, i]]))
            for i, truth in enumerate(ladder.truth[:2])
        ],
    }


def _sample_pictures(context):
    """Draw the samples."""
    if context.samples is None:
        return None
    return {
        "anchor": "samples",
        "title": "Samples",
        "words": "The first samples, with the default settings of the model.",
        "head": [],
        "rows": [("Samples", _encoded(_decoded(context, context.samples[:5])))],
    }


_PICTURES = (_denoising_pictures, _ladder_pictures, _sample_pictures)


def _decoded(context, latents):
    return np.nan_to_num(context.ldm.decode(np.asarray(latents)))


def _encoded(volumes):
    """Encode the slices of volumes as data URIs; None stays."""
    return [None if v is None else data_uri(stacked_slices(v)) for v in volumes]
