"""All checks, in order."""

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
SLOW = (check_overfit, check_ladder, check_samples)  # they report their progress
_BAR = "{desc}{percentage:3.0f}%|{bar}| [{elapsed}]"


def run_checks(context, *, quick=False, progress=False):
    """Run all checks of a latent diffusion model.

    Parameters
    ----------
    context : DiagnosticContext
        The model and its data, see `read_context`.
    quick : bool, optional
        Skip the slowest checks: training on one batch, the ladder and samples.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    list of CheckResult
        One per check, in order from scans to samples. The model is not changed.
    """
    results = []
    options = {"desc": "", "unit": "check", "bar_format": _BAR, "shown": progress}
    with progress_bar(total=len(CHECKS), **options) as bar:
        for n, (name, check) in enumerate(CHECKS.items(), start=1):
            bar.set_description(name)
            if check not in SLOW:
                results.append(check(context))
            elif quick:
                results.append(
                    skipped(name, "left out by --quick", "run it without --quick")
                )
            else:

                def report(share, most=n):  # fractions may sum to a little above 1
                    bar.update(min(share, most - bar.n))

                results.append(check(context, report))
            bar.update(n - bar.n)
    return results
