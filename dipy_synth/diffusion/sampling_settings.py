"""The options of a sampler, completed by a model's defaults."""

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
        `SETTINGS`; None for the default.
    defaults : dict
        The model's defaults. Its ``eta`` applies to its own sampler only.

    Returns
    -------
    dict
        `SETTINGS`.
    """
    filled = {k: defaults.get(k) if given[k] is None else given[k] for k in SETTINGS}
    if given["eta"] is None and filled["sampler"] != defaults.get("sampler"):
        filled["eta"] = None
    return filled
