"""The options of a sampler, and how a model's defaults complete them."""

SETTINGS = (
    "steps",
    "sampler",
    "guidance",
    "guidance_rescale",
    "guidance_interval",
    "eta",
)


def completed_settings(given, defaults):
    """Complete sampling options by a model's defaults.

    Parameters
    ----------
    given : dict
        `SETTINGS`; None where the default is wanted.
    defaults : dict
        The model's defaults. Its ``eta`` is for its own sampler.

    Returns
    -------
    dict
        `SETTINGS`.
    """
    filled = {k: defaults.get(k) if given[k] is None else given[k] for k in SETTINGS}
    if given["eta"] is None and filled["sampler"] != defaults.get("sampler"):
        filled["eta"] = None
    return filled
