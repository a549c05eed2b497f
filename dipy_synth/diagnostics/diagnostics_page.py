"""The doctor's page: verdicts with what to do, and pictures of denoising."""

from html import escape
from pathlib import Path
from string import Template

import numpy as np

from dipy_synth import __version__
from dipy_synth.diagnostics.results import (
    DOUBTFUL,
    RIGHT,
    WRONG,
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
<div class="wide"><table class="odds">
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


def doctor_page(case, findings, path):
    """Write one page of verdicts, and the numbers behind them beside it.

    Parameters
    ----------
    case : Case
        What was looked at.
    findings : list of Finding
        What `examine` gave.
    path : str or Path
        The page. ``doctor.json`` is written to its folder.

    Returns
    -------
    Path
        The page, which stands alone: it needs no other file and no network.
    """
    path, counts = Path(path), count_verdicts(findings)
    title = f"Doctor: {_name(case)}"
    body = _BODY.substitute(
        title=escape(title),
        summary=escape(_summary(case)),
        verdict=escape(_verdict(findings)),
        explanation=escape(_EXPLANATION if WRONG in counts else _ALL_WELL),
        rows="\n".join(_row(finding) for finding in _worst_first(findings)),
        pictures=_denoising_pictures(case) + _sample_pictures(case),
    )
    write_json(
        path.with_name("doctor.json"),
        {
            "model": str(case.ldm.folder),
            "model_hash": case.ldm.config.get("weights_sha256"),
            "version": __version__,
            "verdicts": counts,
            "findings": [finding.to_json() for finding in findings],
        },
    )
    more = "The numbers behind each verdict are in doctor.json beside this page."
    write_text(path, whole_page(title, body, more=more))
    return path


_EXPLANATION = (
    "Mend what is wrong from above downwards: one fault makes others show. Each line "
    "says what was measured, and what to do."
)
_ALL_WELL = (
    "None of the known ways in which latent diffusion gives noise was found. That does "
    "not say that the volumes are good: look at them, and measure them."
)


def _name(case):
    folder = case.ldm.folder
    if folder is None:
        return "a model"
    return case.run.name if case.run else folder.name


def _summary(case):
    shape = " × ".join(map(str, case.ldm.vqvae.network.shape))
    n = 0 if case.volumes is None else len(case.volumes)
    latent = " × ".join(map(str, case.ldm.network.shape))
    counts = [
        f"{0 if latents is None else len(latents)} {word}"
        for word, (latents, _) in (
            ("training", case.side("latents")),
            ("held-out", case.side("held_out")),
        )
    ]
    return (
        f"Volumes of {shape} voxels, latents of {latent}; looked at with "
        f"{counts[0]} and {counts[1]} latents, {n} volumes"
    )


def _verdict(findings):
    """Say the worst in a line."""
    names = {v: [f.name for f in findings if f.verdict == v] for v in (WRONG, DOUBTFUL)}
    if names[WRONG]:
        return f"Wrong: {'; '.join(names[WRONG])}"
    if names[DOUBTFUL]:
        return f"Nothing wrong; doubtful: {'; '.join(names[DOUBTFUL])}"
    return "Nothing wrong"


def _worst_first(findings):
    """Sort findings by verdict; within one they stay in the order of the checks."""
    order = (WRONG, DOUBTFUL, RIGHT)
    places = {verdict: place for place, verdict in enumerate(order)}
    return sorted(findings, key=lambda f: places.get(f.verdict, len(order)))


def _row(finding):
    """Write one finding."""
    advice = f"<p><b>To do:</b> {escape(finding.advice)}.</p>" if finding.advice else ""
    style = finding.verdict.replace(" ", "-")
    return (
        f'<tr><td class="name">{escape(finding.name.capitalize())}</td>'
        f'<td class="verdict {style}">{escape(finding.verdict)}</td>'
        f'<td class="why">{escape(_sentence(finding.words))}{advice}</td>'
        f'<td class="soft">{escape(finding.expected)}</td></tr>'
    )


def _sentence(words):
    return words[:1].upper() + words[1:] + "."


def _denoising_pictures(case):
    """Draw one image, with noise at five levels, and what the network sees in it."""
    if not case.sides():
        return ""
    side = case.sides()[0]
    looked = case.denoised(side)
    schedule = case.ldm.schedule
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
        title="Denoised in one step from five levels of noise",
        words="Latents of one image, decoded: as they are, with noise, and as the "
        "network takes them to be without it. To the left it must come back whole, to "
        "the right as a blurred average, and nowhere as noise.",
        rows=f"<tr><th></th>{head}</tr>"
        + "".join(_picture_row(case, name, images) for name, images in rows.items()),
    )


def _sample_pictures(case):
    """Draw the samples that were made."""
    if case.samples is None:
        return ""
    return _PICTURE.substitute(
        title="Samples",
        words="The first samples, as the model recommends to make them.",
        rows=_picture_row(case, "", case.samples[:5]),
    )


def _picture_row(case, name, latents):
    """Decode latents, each into a cell of a table's row."""
    volumes = np.nan_to_num(case.ldm.decode(np.stack(latents)))
    cells = "".join(
        f'<td><img alt="{escape(name)}" src="{data_uri(stacked_slices(volume))}"></td>'
        for volume in volumes
    )
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"
