"""The options of a sampler, and how a model's defaults complete them."""

SETTINGS = ("steps", "sampler", "guidance", "guidance_rescale", "eta")


def completed_settings(given, advice):
    """Fill what was left open of how to sample.

    Parameters
    ----------
    given : dict
        `SETTINGS`; None is left open.
    advice : dict
        What a model recommends. An ``eta`` among it is for its ``sampler`` ddim, and
        left aside with another one.

    Returns
    -------
    dict
        `SETTINGS`; ``eta`` is None if the sampler is not ddim.
    """
    advice = {"eta": 0.0, **advice}
    filled = {k: advice.get(k) if given[k] is None else given[k] for k in SETTINGS}
    if given["eta"] is None and filled["sampler"] != "ddim":
        filled["eta"] = None
    return filled
