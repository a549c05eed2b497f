"""All checks, one after the other."""

from functools import partial

from dipy_synth.diagnostics.data_checks import (
    check_latents,
    check_split,
    check_terminal_noise,
)
from dipy_synth.diagnostics.denoising_checks import (
    check_coarse,
    check_conditions,
    check_denoising,
)
from dipy_synth.diagnostics.ladder import check_ladder
from dipy_synth.diagnostics.network_checks import (
    check_averaged_weights,
    check_modes,
    check_overfit,
)
from dipy_synth.diagnostics.results import skipped
from dipy_synth.diagnostics.volume_checks import (
    check_round_trip,
    check_samples,
    check_scale,
)
from dipy_synth.utils.progress import progress_bar

CHECKS = {
    "training and validation": check_split,
    "autoencoder round trip": check_round_trip,
    "latents at the input": check_latents,
    "latent scaling round trip": check_scale,
    "noise where sampling starts": check_terminal_noise,
    "training and sampling mode": check_modes,
    "averaged weights": check_averaged_weights,
    "single-batch overfit": check_overfit,
    "denoising, training": partial(check_denoising, side="latents"),
    "denoising, held-out": partial(check_denoising, side="held_out"),
    "large-scale structure at high noise": check_coarse,
    "conditions": check_conditions,
    "ladder": check_ladder,
    "variability of samples": check_samples,
}
SLOW = (check_overfit, check_ladder, check_samples)  # they tell how far they are
_BAR = "{desc}{percentage:3.0f}%|{bar}| [{elapsed}]"


def run_checks(context, *, quick=False, progress=False):
    """Look for the known ways in which a latent diffusion model goes wrong.

    Parameters
    ----------
    context : DiagnosticContext
        The model, and what is known of its data; `read_context` gathers it.
    quick : bool, optional
        Leave out what takes longest: training on one batch, and samples.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    list of CheckResult
        One a check, in the order of the way from scans to samples. Nothing of the
        model is changed.
    """
    results = []
    options = {"desc": "", "unit": "check", "bar_format": _BAR, "shown": progress}
    with progress_bar(total=len(CHECKS), **options) as bar:
        for n, (name, check) in enumerate(CHECKS.items(), start=1):
            bar.set_description(name)
            if check not in SLOW:
                results.append(check(context))
            elif quick:
                results.append(skipped(name, "left out", "leave out --quick"))
            else:
                results.append(check(context, partial(_go_on, bar, n)))
            bar.update(n - bar.n)
    return results


def _go_on(bar, most, share):
    """Move a bar; the shares of a whole can sum to a little more than it."""
    bar.update(min(share, most - bar.n))
