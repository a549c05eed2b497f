"""Model folders: ``config.json`` and ``weights.npz``; arrays and JSON, no code.

A folder is read by its path or, for the models that come with the package, by its
name. The configuration records a hash of the weights, which is checked on loading.
"""

from pathlib import Path

import numpy as np

from dipy_synth import __version__
from dipy_synth.errors import InputError
from dipy_synth.utils.derivative import relative_path
from dipy_synth.utils.files import (
    atomic_path,
    file_hash,
    read_json,
    write_json,
    write_text,
)

FORMAT = 1
BUNDLED = Path(__file__).parent / "models"


def bundled_models():
    """List the names of the models that come with the package."""
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
        If neither is there; the message lists the bundled names.
    """
    for folder in (Path(name), Path(name) / "model", BUNDLED / str(name)):
        if (folder / "config.json").is_file():
            return folder
    raise InputError(
        f"{name}: no such model (expected a run or model folder, or one of the "
        f"bundled models: {', '.join(bundled_models()) or 'none'})"
    )


def describe_model(folder, config, *, root):
    """Describe a model so that a reader of what it made can find it.

    Parameters
    ----------
    folder : Path or None
        The model's folder; None for a model that was never saved.
    config : dict
        Its configuration.
    root : Path
        The folder of what it makes.

    Returns
    -------
    dict
        ``Name``, ``Version`` (of dipy_synth, which wrote it), ``SHA256`` of its weights
        and ``URI``: a package URL for a bundled model, else a path relative to `root`.
    """
    return {
        "Name": folder and _model_name(folder),
        "Version": config.get("version"),
        "SHA256": config["weights_sha256"],
        "URI": folder and _model_uri(folder, root),
    }


def _model_name(folder):
    """Name a model by its folder, or by the run that holds it."""
    folder = Path(folder).absolute()
    return folder.parent.name if folder.name == "model" else folder.name


def _model_uri(folder, root):
    if Path(folder).resolve().parent != BUNDLED.resolve():
        return relative_path(folder, root)
    place = f"{BUNDLED.parent.name}/{BUNDLED.name}/{Path(folder).name}"
    return f"pkg:pypi/dipy_synth@{__version__}#{place}"


def save_model(folder, *, kind, config, networks, arrays=None, card=None, dtype=None):
    """Write a model folder.

    Parameters
    ----------
    folder : str or Path
        Where to. An existing model there is replaced.
    kind : str
        ``vqvae``, ``ldm`` or ``predictor``.
    config : dict
        What the model needs beside weights; JSON.
    networks : dict of str to keras.Model
        Networks whose configuration and weights are kept.
    arrays : dict of str to ndarray, optional
        Other arrays to keep, in float32.
    card : str, optional
        Text of the model's ``README.md``.
    dtype : str, optional
        ``float16`` halves the weights' size; None keeps float32.

    Returns
    -------
    Path
        The folder.
    """
    folder = Path(folder)
    values = {f"array.{name}": value for name, value in (arrays or {}).items()}
    for name, network in networks.items():
        for i, weight in enumerate(network.get_weights()):
            values[f"{name}.{i:04d}"] = _cast(weight, dtype)
    with atomic_path(folder / "weights.npz") as temporary:
        np.savez_compressed(temporary, **values)
    configs = {name: network.get_config() for name, network in networks.items()}
    content = {
        "format": FORMAT,
        "kind": kind,
        "version": __version__,
        **config,
        "networks": configs,
        "weights_sha256": file_hash(folder / "weights.npz"),
    }
    write_json(folder / "config.json", content)
    if card is not None:
        write_text(folder / "README.md", card)
    return folder


def add_arrays(folder, name, arrays):
    """Add a file of arrays to a model's folder, and its hash to the configuration.

    Parameters
    ----------
    folder : str or Path
        The model's folder, as `find_model` takes it.
    name : str
        Name of the file, without its suffix.
    arrays : dict of str to ndarray
        What to keep.

    Returns
    -------
    Path
        The file.
    """
    folder = find_model(folder)
    path = folder / f"{name}.npz"
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {**config, f"{name}_sha256": file_hash(path)})
    return path


def load_arrays(folder, config, name):
    """Read a file of arrays of a model's folder, checked by its hash.

    Parameters
    ----------
    folder : Path
        The model's folder.
    config : dict
        Its configuration, from `read_config`.
    name : str
        Name of the file, without its suffix.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    InputError
        If the file is absent, or is not the one the configuration speaks of.
    """
    path = _checked(folder / f"{name}.npz", config[f"{name}_sha256"])
    with np.load(path, allow_pickle=False) as values:
        return dict(values)


def _checked(path, sha256):
    """Give the path of a file that is there and has the hash it should have."""
    if not path.is_file():
        raise InputError(f"{path}: no such file (expected the model's arrays)")
    if file_hash(path) != sha256:
        raise InputError(
            f"{path}: its hash is not that in config.json: the file is damaged, or "
            "belongs to another model"
        )
    return path


def _cast(value, dtype):
    narrow = dtype is not None and np.issubdtype(value.dtype, np.floating)
    return value.astype(dtype) if narrow else value


def read_config(name, *, kinds):
    """Read and check a model's configuration.

    Parameters
    ----------
    name : str or Path
        Folder or bundled name.
    kinds : sequence of str
        The kinds that will do.

    Returns
    -------
    folder : Path
    config : dict
    """
    folder = find_model(name)
    config = read_json(folder / "config.json")
    if config.get("format") != FORMAT:
        raise InputError(
            f"{folder}/config.json: format {config.get('format')}, expected {FORMAT} "
            "(written by another version of dipy_synth)"
        )
    if config.get("kind") not in kinds:
        raise InputError(
            f"{folder}: a {config.get('kind')} model, expected {' or '.join(kinds)}"
        )
    return folder, config


def load_networks(folder, config, makers):
    """Make a model's networks and load their weights.

    Parameters
    ----------
    folder : Path
        The model's folder.
    config : dict
        Its configuration, from `read_config`.
    makers : dict of str to callable
        What makes each network from its configuration.

    Returns
    -------
    networks : dict of str to keras.Model
    arrays : dict of str to ndarray

    Raises
    ------
    InputError
        If the weights are absent, or are not those the configuration speaks of.
    """
    path = _checked(folder / "weights.npz", config["weights_sha256"])
    networks = {}
    with np.load(path, allow_pickle=False) as values:
        for name, make in makers.items():
            networks[name] = _make(name, make, folder, config)
            _fill(networks[name], name, values, folder)
        arrays = {
            key.removeprefix("array."): values[key]
            for key in values.files
            if key.startswith("array.")
        }
    return networks, arrays


def _fill(network, name, values, folder):
    """Give a network the arrays of its name, which must be as many and as large."""
    keys = sorted(key for key in values.files if key.startswith(f"{name}."))
    arrays = [values[key] for key in keys]
    if [a.shape for a in arrays] != [tuple(w.shape) for w in network.weights]:
        raise InputError(
            f"{folder}/weights.npz: other weights than the {name} of config.json has; "
            "it was written by an earlier state of dipy_synth: train it again"
        )
    for weight, array in zip(network.weights, arrays):
        weight.assign(array.astype(weight.dtype))


def _make(name, make, folder, config):
    """Make one network; a configuration that is not understood is told by its file."""
    try:
        return make(config["networks"][name])
    except (InputError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder}/config.json: the {name} cannot be made from it ({error}); the "
            "model was changed, or written by an earlier state of dipy_synth: train it "
            "again"
        ) from error
