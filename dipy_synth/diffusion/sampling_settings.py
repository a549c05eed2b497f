"""The options of a sampler, and how a model's defaults complete them."""

SETTINGS = ("steps", "sampler", "guidance", "guidance_rescale", "eta")


def completed_settings(given, defaults):
    """Fill what was left open of how to sample.

    Parameters
    ----------
    given : dict
        `SETTINGS`; None is left open.
    defaults : dict
        What a model recommends. An ``eta`` among it is for its ``sampler`` ddim, and
        left aside with another one.

    Returns
    -------
    dict
        `SETTINGS`; ``eta`` is None if the sampler is not ddim.
    """
    defaults = {"eta": 0.0, **defaults}
    filled = {k: defaults.get(k) if given[k] is None else given[k] for k in SETTINGS}
    if given["eta"] is None and filled["sampler"] != "ddim":
        filled["eta"] = None
    return filled
