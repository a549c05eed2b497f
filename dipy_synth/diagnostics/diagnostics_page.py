"""The page of diagnostics: verdicts with advice, and pictures of denoising."""

from html import escape
from pathlib import Path
from string import Template

import numpy as np

from dipy_synth import __version__
from dipy_synth.diagnostics.results import (
    FAIL,
    PASS,
    WARN,
    count_verdicts,
)
from dipy_synth.report.drawing import data_uri
from dipy_synth.report.template import whole_page
from dipy_synth.utils.files import write_json, write_text
from dipy_synth.utils.montage import stacked_slices

_BODY = Template("""<header>
<h1>$title</h1>
<p class="soft">$summary</p>
</header>

<h2>$verdict</h2>
<p>$explanation</p>
<div class="wide"><table class="checks">
<tr><th>What</th><th>Verdict</th><th>Found, and what to do</th><th>Expected</th></tr>
$rows
</table></div>
$pictures
""")

_PICTURE = Template("""<h2>$title</h2>
<p class="soft">$words</p>
<div class="wide"><table class="pictures">
$rows
</table></div>
""")


def diagnostics_page(context, results, path):
    """Write one page of verdicts, and a file with their numbers.

    Parameters
    ----------
    context : DiagnosticContext
        The model and its data.
    results : list of CheckResult
        Results of `run_checks`.
    path : str or Path
        The page. ``doctor.json`` is written to its folder.

    Returns
    -------
    Path
        The page, without external files or network access.
    """
    path, counts = Path(path), count_verdicts(results)
    title = f"Diagnostics: {_name(context)}"
    body = _BODY.substitute(
        title=escape(title),
        summary=escape(_summary(context)),
        verdict=escape(_verdict(results)),
        explanation=escape(_EXPLANATION if FAIL in counts else _ALL_WELL),
        rows="\n".join(_row(result) for result in _worst_first(results)),
        pictures=_denoising_pictures(context)
        + _ladder_pictures(context)
        + _sample_pictures(context),
    )
    write_json(
        path.with_name("doctor.json"),
        {
            "model": str(context.ldm.folder),
            "model_hash": context.ldm.config.get("weights_sha256"),
            "version": __version__,
            "verdicts": counts,
            "results": [result.to_json() for result in results],
        },
    )
    more = "The numbers behind each verdict are in doctor.json beside this page."
    write_text(path, whole_page(title, body, more=more))
    return path


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
    shape = " × ".join(map(str, context.ldm.vqvae.network.shape))
    n = 0 if context.volumes is None else len(context.volumes)
    latent = " × ".join(map(str, context.ldm.network.shape))
    counts = [
        f"{0 if latents is None else len(latents)} {word}"
        for word, (latents, _) in (
            ("training", context.side("latents")),
            ("held-out", context.side("held_out")),
        )
    ]
    return (
        f"Volumes of {shape} voxels, latents of {latent}; checked with "
        f"{counts[0]} and {counts[1]} latents, {n} volumes"
    )


def _verdict(results):
    """Summarise the worst verdicts in a line."""
    names = {v: [f.name for f in results if f.verdict == v] for v in (FAIL, WARN)}
    if names[FAIL]:
        return f"Failed: {'; '.join(names[FAIL])}"
    if names[WARN]:
        return f"No check failed; warnings: {'; '.join(names[WARN])}"
    return "No check failed"


def _worst_first(results):
    """Sort results by verdict; within one they stay in the order of the checks."""
    order = (FAIL, WARN, PASS)
    places = {verdict: place for place, verdict in enumerate(order)}
    return sorted(results, key=lambda f: places.get(f.verdict, len(order)))


def _row(result):
    """Format one result as a table row."""
    advice = f"<p><b>To do:</b> {escape(result.advice)}.</p>" if result.advice else ""
    return (
        f'<tr><td class="name">{escape(result.name.capitalize())}</td>'
        f'<td class="verdict {result.verdict}">{escape(result.verdict)}</td>'
        f'<td class="why">{escape(_sentence(result.message))}{advice}</td>'
        f'<td class="soft">{escape(result.expected)}</td></tr>'
    )


def _sentence(words):
    return words[:1].upper() + words[1:] + "."


def _denoising_pictures(context):
    """Draw one image, with noise at rising levels, and its denoised estimates."""
    if not context.sides():
        return ""
    side = context.sides()[0]
    result = context.denoised(side)
    schedule = context.ldm.schedule
    ratios = schedule.sigma(result.times) / np.maximum(
        schedule.alpha(result.times), 1e-9
    )
    # decoded noisy latents show the input of the network
    rows = {
        "True": [result.truth[0]] * len(ratios),
        "Noisy": list(result.noisy[:, 0]),
        "Denoised": list(result.answers[:, 0]),
    }
    head = "".join(f"<th>noise {ratio:.2g} × signal</th>" for ratio in ratios)
    return _PICTURE.substitute(
        title="Denoised in one step",
        words="Latents of one image, decoded: original, noisy, and denoised by the "
        "network. The denoised image must be complete at the left, a blurred average "
        "at the right, and nowhere noise.",
        rows=f"<tr><th></th>{head}</tr>"
        + "".join(_picture_row(context, name, images) for name, images in rows.items()),
    )


def _ladder_pictures(context):
    """Draw the images sampled back from each noise level, beside the originals."""
    ladder = context.ladder
    if ladder is None:
        return ""
    head = "".join(f"<th>from noise {r:g} × signal</th>" for r in ladder.ratios)
    rows = [f"<tr><th></th><th>decoded</th>{head}</tr>"]
    for number, truth in enumerate(ladder.truth[:2]):
        cells = [truth, *ladder.returned[:, number]]
        rows.append(_cells(f"Image {number + 1}", cells))
    return _PICTURE.substitute(
        title="Ladder: noised, and sampled back",
        words="Held-out images, where there are any. The loss from one level to the "
        "next is what the network has not learned there.",
        rows="".join(rows),
    )


def _sample_pictures(context):
    """Draw the samples."""
    if context.samples is None:
        return ""
    return _PICTURE.substitute(
        title="Samples",
        words="The first samples, with the default settings of the model.",
        rows=_picture_row(context, "", context.samples[:5]),
    )


def _picture_row(context, name, latents):
    """Decode latents, and draw each in a cell of a table row."""
    return _cells(name, np.nan_to_num(context.ldm.decode(np.stack(latents))))


def _cells(name, volumes):
    """Draw volumes, each in a cell of a table row."""
    cells = "".join(
        f'<td><img alt="{escape(name)}" src="{data_uri(stacked_slices(volume))}"></td>'
        for volume in volumes
    )
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"
