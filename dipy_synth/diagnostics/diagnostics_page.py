"""The page of diagnostics: verdicts with what to do, and pictures of denoising."""

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
    """Write one page of verdicts, and the numbers behind them beside it.

    Parameters
    ----------
    context : DiagnosticContext
        What was looked at.
    results : list of CheckResult
        What `run_checks` gave.
    path : str or Path
        The page. ``doctor.json`` is written to its folder.

    Returns
    -------
    Path
        The page, which stands alone: it needs no other file and no network.
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
    "Mend what failed from above downwards: one fault makes others show. Each line "
    "says what was measured, and what to do."
)
_ALL_WELL = (
    "None of the known ways in which latent diffusion gives noise was found. That does "
    "not say that the volumes are good: look at them, and measure them."
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
        f"Volumes of {shape} voxels, latents of {latent}; looked at with "
        f"{counts[0]} and {counts[1]} latents, {n} volumes"
    )


def _verdict(results):
    """Say the worst in a line."""
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
    """Write one result."""
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
    """Draw one image, with noise at rising levels, and what the network sees in it."""
    if not context.sides():
        return ""
    side = context.sides()[0]
    looked = context.denoised(side)
    schedule = context.ldm.schedule
    ratios = schedule.sigma(looked.times) / np.maximum(
        schedule.alpha(looked.times), 1e-9
    )
    # noise alone in the latents decodes to what the network is given to look at
    rows = {
        "True": [looked.truth[0]] * len(ratios),
        "Noisy": list(looked.noisy[:, 0]),
        "Denoised": list(looked.answers[:, 0]),
    }
    head = "".join(f"<th>noise {ratio:.2g} × signal</th>" for ratio in ratios)
    return _PICTURE.substitute(
        title="Denoised in one step",
        words="Latents of one image, decoded: as they are, with noise, and as the "
        "network takes them to be without it. To the left it must come back whole, to "
        "the right as a blurred average, and nowhere as noise.",
        rows=f"<tr><th></th>{head}</tr>"
        + "".join(_picture_row(context, name, images) for name, images in rows.items()),
    )


def _ladder_pictures(context):
    """Draw what came back from each noise level, beside the truth."""
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
        words="Images on which nothing was trained, where there are any. What is lost "
        "from one level to the next is what the network has not learned there.",
        rows="".join(rows),
    )


def _sample_pictures(context):
    """Draw the samples that were made."""
    if context.samples is None:
        return ""
    return _PICTURE.substitute(
        title="Samples",
        words="The first samples, as the model recommends to make them.",
        rows=_picture_row(context, "", context.samples[:5]),
    )


def _picture_row(context, name, latents):
    """Decode latents, each into a cell of a table's row."""
    return _cells(name, np.nan_to_num(context.ldm.decode(np.stack(latents))))


def _cells(name, volumes):
    """Draw volumes, each into a cell of a table's row."""
    cells = "".join(
        f'<td><img alt="{escape(name)}" src="{data_uri(stacked_slices(volume))}"></td>'
        for volume in volumes
    )
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"
