"""Models by name: the bundled ones, one folder each, and those of a person."""

from pathlib import Path

from dipy_synth import __version__
from dipy_synth.errors import InputError
from dipy_synth.utils.derivative import relative_path

BUNDLED = Path(__file__).parent


def bundled_models():
    """List the names of the bundled models."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def find_model(name):
    """Find a model's folder.

    Parameters
    ----------
    name : str or Path
        A folder with a ``config.json``, a run's folder with such a ``model`` folder
        in it, or the name of a bundled model.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If there is none; the message lists the bundled names.
    """
    bundled = BUNDLED / str(name)
    local = [p for p in (Path(name), Path(name) / "model") if _is_model(p)]
    if str(name) in bundled_models():
        if local and local[0].resolve() != bundled.resolve():
            raise InputError(
                f"{name}: a bundled model and a folder here; expected ./{name} for the "
                f"folder, or {bundled} for the bundled model"
            )
        return bundled
    if local:
        return local[0]
    raise InputError(
        f"{name}: no such model (expected a run or model folder, or one of the "
        f"bundled models: {', '.join(bundled_models()) or 'none'})"
    )


def describe_model(folder, config, *, root):
    """Describe a model, for the provenance of its outputs.

    Parameters
    ----------
    folder : Path or None
        The model's folder; None for a model that was never saved.
    config : dict
        Its configuration.
    root : Path
        The folder of the outputs.

    Returns
    -------
    dict
        ``Name``, ``Version`` (of dipy_synth, which wrote it), ``SHA256`` of its
        weights, ``GuideSHA256`` of its guide's, if it has one, and ``URI``: a package
        URL for a bundled model, else a path relative to `root`.
    """
    guide = config.get("guide_sha256")
    return {
        "Name": folder and _model_name(folder),
        "Version": config.get("version"),
        "SHA256": config["weights_sha256"],
        **({"GuideSHA256": guide} if guide else {}),
        "URI": folder and _model_uri(folder, root),
    }


def model_hashes(config):
    """Return what identifies the networks of a model: dict of str.

    ``ModelHash`` is the hash of its weights, ``GuideHash`` that of its guide's.
    """
    hashes = {"ModelHash": config["weights_sha256"]}
    if "guide_sha256" in config:
        hashes["GuideHash"] = config["guide_sha256"]
    return hashes


def _model_name(folder):
    """Name a model by its folder, or by the run that holds it."""
    folder = Path(folder).absolute()
    return folder.parent.name if folder.name == "model" else folder.name


def _model_uri(folder, root):
    if Path(folder).resolve().parent != BUNDLED.resolve():
        return relative_path(folder, root)
    place = f"{BUNDLED.parent.name}/{BUNDLED.name}/{Path(folder).name}"
    return f"pkg:pypi/dipy_synth@{__version__}#{place}"


def _is_model(folder):
    return (folder / "config.json").is_file()
