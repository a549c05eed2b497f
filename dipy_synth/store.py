"""Model folders: ``config.json`` and files of arrays; no code, no data of subjects.

A folder is found by `dipy_synth.models.find_model`. Files of arrays are
named after their hash (``weights-0123456789ab.npz``). The configuration, which is
written last, has the hashes, and one of itself: so after an interruption a folder holds
the earlier model or the new one, and files of different models are refused.
"""

from contextlib import contextmanager
import hashlib
import json
from pathlib import Path
import re

import numpy as np

from dipy_synth import __version__
from dipy_synth.errors import InputError
from dipy_synth.models import find_model
from dipy_synth.utils.architecture import arguments_of
from dipy_synth.utils.files import (
    check_object,
    file_hash,
    read_object,
    temporary_path,
    write_json,
    write_text,
)
from dipy_synth.utils.labels import hash_labels
from dipy_synth.utils.lock import folder_lock

FORMAT = 2
_HASH, _DIGITS = "config_sha256", 12
_OURS = re.compile(r"[a-z_]+-[0-9a-f]{12}\.npz")
# required keys of a configuration and the types of their values, by kind of model
_COMMON = {"grid": dict | None, "split": dict}
_KEYS = {
    "vqvae": _COMMON,
    "ldm": _COMMON | {"sampling": dict, "schedule": dict, "conditions": dict},
    "predictor": _COMMON | {"conditions": dict},
}


def save_model(
    folder,
    *,
    kind,
    config,
    networks,
    apart=None,
    arrays=None,
    files=None,
    card=None,
    dtype=None,
):
    """Write a model folder.

    Parameters
    ----------
    folder : str or Path
        Output folder. An existing model is replaced.
    kind : str
        ``vqvae``, ``ldm`` or ``predictor``.
    config : dict
        Configuration of the model besides weights; JSON.
    networks : dict of str to keras.Model
        Networks, whose arguments and weights are stored.
    apart : dict of str to keras.Model, optional
        Further networks, each with its weights in a file of its own.
    arrays : dict of str to ndarray, optional
        Other arrays, stored in float32.
    files : dict of str to (dict of str to ndarray), optional
        Further files of arrays, by name, for `load_arrays`.
    card : str, optional
        Text of the model's ``README.md``.
    dtype : str, optional
        ``float16`` halves the weights' size; None keeps float32.

    Returns
    -------
    Path
        The folder.
    """
    folder, apart = Path(folder), apart or {}
    values = {f"array.{name}": value for name, value in (arrays or {}).items()}
    for name, network in networks.items():
        values |= _weights(name, network, dtype)
    files = {name: _weights(name, apart[name], dtype) for name in apart} | (files or {})
    every = {**networks, **apart}
    configs = {name: arguments_of(network) for name, network in every.items()}
    content = {
        "format": FORMAT,
        "kind": kind,
        "version": __version__,
        **config,
        "networks": configs,
    }
    with folder_lock(folder):
        for name, stored in {"weights": values, **files}.items():
            content[f"{name}_sha256"] = _write_arrays(folder, name, stored)
        if card is not None:
            write_text(folder / "README.md", card)
        _write_config(folder, _without_labels(content))
    return folder


def arrays_path(folder, config, name):
    """Find a file of arrays of a model: ``folder/name-<12 digits of its hash>.npz``."""
    return Path(folder) / f"{name}-{config[f'{name}_sha256'][:_DIGITS]}.npz"


def _write_arrays(folder, name, values):
    """Write a file of arrays under the name of its hash, which is returned."""
    temporary = temporary_path(folder / f"{name}.npz")
    try:
        np.savez_compressed(temporary, **values)
        sha256 = file_hash(temporary)
        temporary.replace(folder / f"{name}-{sha256[:_DIGITS]}.npz")
    finally:
        temporary.unlink(missing_ok=True)
    return sha256


def _write_config(folder, content):
    """Write the configuration, which switches the folder to the new model."""
    content = {key: value for key, value in content.items() if key != _HASH}
    content = {**content, _HASH: config_hash(content)}
    write_json(folder / "config.json", content)
    names = [key.removesuffix("_sha256") for key in content if key.endswith("_sha256")]
    kept = {arrays_path(folder, content, name).name for name in names}
    for path in folder.iterdir():  # of the earlier model, or of a killed run
        if _OURS.fullmatch(path.name) and path.name not in kept:
            path.unlink(missing_ok=True)


def config_hash(config):
    """Hash a configuration, without its own hash and in any order of its keys: str."""
    content = {key: value for key, value in config.items() if key != _HASH}
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def add_arrays(folder, name, arrays, *, card=""):
    """Add a file of arrays to a model's folder, and its hash to the configuration.

    `card` is the new text of the model's ``README.md``, where that changes.
    """
    folder = find_model(folder)
    with folder_lock(folder):
        config = read_object(folder / "config.json")
        sha256 = _write_arrays(folder, name, arrays)
        if card:
            write_text(folder / "README.md", card)
        config = {**config, f"{name}_sha256": sha256}
        _write_config(folder, config)
    return arrays_path(folder, config, name)


def load_arrays(folder, config, name):
    """Read a file of arrays of a model, checked by its hash: dict of str to ndarray.

    `name` is that of the file without its hash, as in `add_arrays`. An absent or
    another file is an InputError.
    """
    path = _checked(folder, config, name)
    with np.load(path, allow_pickle=False) as values:
        return dict(values)


def _checked(folder, config, name):
    """Return the path of a file, checked by its hash."""
    path = arrays_path(folder, config, name)
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; expected all files of the model's folder, as it "
            "was saved"
        )
    if file_hash(path) != config[f"{name}_sha256"]:
        raise InputError(
            f"{path}: its hash is not that in config.json: the file is damaged, or "
            "belongs to another model"
        )
    return path


def _weights(name, network, dtype):
    """Return the weights of a network by their keys in a file of arrays: dict."""
    return {
        f"{name}.{i:04d}": _cast(weight, dtype)
        for i, weight in enumerate(network.get_weights())
    }


def _cast(value, dtype):
    narrow = dtype is not None and np.issubdtype(value.dtype, np.floating)
    return value.astype(dtype) if narrow else value


def read_config(name, *, kinds):
    """Read and check a model's configuration, a folder's or a bundled model's.

    Returns the folder and the configuration, dict; `kinds` are the accepted kinds of
    model.
    """
    folder = find_model(name)
    config = read_object(folder / "config.json")
    if config.get("format") != FORMAT:
        raise InputError(
            f"{folder}/config.json: format {config.get('format')}, expected {FORMAT} "
            "(written by another version of dipy_synth)"
        )
    if config.get("kind") not in kinds:
        raise InputError(
            f"{folder}: model of kind {config.get('kind')}; expected "
            f"{' or '.join(kinds)}"
        )
    _check_config(folder, config)
    return folder, config


def _check_config(folder, config):
    """Refuse a configuration that was changed, or is incomplete."""
    needed = {"networks": dict, "weights_sha256": str, _HASH: str}
    needed |= _KEYS.get(config["kind"], {})
    check_object(config, folder / "config.json", needed=needed)
    if config[_HASH] != config_hash(config):
        raise InputError(
            f"{folder}/config.json: changed since it was saved (its hash is not that "
            "of its content), and may not fit the weights; expected it as it was saved"
        )


def _without_labels(config):
    """Hash the labels of subjects, where they are given in clear."""
    split = config.get("split")
    if split is None or "salt" in split:
        return config
    salt = config["weights_sha256"][:16]
    sides = {side: hash_labels(labels, salt) for side, labels in split.items()}
    return {**config, "split": {"salt": salt, **sides}}


def load_networks(folder, config, makers, *, file="weights"):
    """Build a model's networks and load their weights.

    `config` is of `read_config`; `makers` are functions that build each network from
    its configuration; `file` is the name of the file of arrays. Returns the networks
    and the other arrays, two dicts. Weights that are absent, or not those of the
    configuration, are an InputError.
    """
    path = _checked(folder, config, file)
    networks = {}
    with np.load(path, allow_pickle=False) as values:
        for name, make in makers.items():
            with made_from(folder, f"the {name}"):
                networks[name] = make(config["networks"][name])
            _fill(networks[name], name, values, folder)
        arrays = {
            key.removeprefix("array."): values[key]
            for key in values.files
            if key.startswith("array.")
        }
    return networks, arrays


def _fill(network, name, values, folder):
    """Set the weights of a network from the arrays of its name, checked by shape."""
    keys = sorted(key for key in values.files if key.startswith(f"{name}."))
    arrays = [values[key] for key in keys]
    if [a.shape for a in arrays] != [tuple(w.shape) for w in network.weights]:
        raise InputError(
            f"{folder}: other weights than the {name} of config.json has; "
            "it was written by an earlier state of dipy_synth: train it again"
        )
    for weight, array in zip(network.weights, arrays):
        weight.assign(array.astype(weight.dtype))


@contextmanager
def made_from(folder, what):
    """Name the configuration of a model in the errors of what is made from it.

    `what` names what is made, such as "the unet".
    """
    try:
        yield
    except (InputError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}/config.json: {what} cannot be made from it "
            f"({type(error).__name__}: {error}); the model was changed, or written by "
            "an earlier state of dipy_synth: train it again"
        ) from error
