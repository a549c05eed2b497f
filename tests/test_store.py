"""Model folders that do not fit what they are read by."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.models import BUNDLED, find_model
from dipy_synth.store import (
    add_arrays,
    config_hash,
    load_arrays,
    load_networks,
    made_from,
    read_config,
    save_model,
)
from dipy_synth.utils.files import read_json, write_json


def dense(units):
    return keras.Sequential(
        [keras.Input((3,)), *(keras.layers.Dense(n) for n in units)]
    )


@pytest.mark.parametrize("units", [(2,), (2, 4, 4), (2, 5)])
def test_weights_of_another_network_are_refused(tmp_path, units):
    network = dense((2, 4))
    save_model(tmp_path, kind="any", config={}, networks={"it": network})
    folder, config = read_config(tmp_path, kinds=("any",))
    found, _ = load_networks(folder, config, {"it": lambda _: dense((2, 4))})
    for ours, theirs in zip(found["it"].get_weights(), network.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match="other weights than the it"):
        load_networks(folder, config, {"it": lambda _: dense(units)})


def test_a_network_may_have_a_file_of_its_own(tmp_path):
    one, other = dense((2,)), dense((2,))
    save_model(
        tmp_path, kind="any", config={}, networks={"it": one}, apart={"guide": other}
    )
    folder, config = read_config(tmp_path, kinds=("any",))
    files = sorted(path.name.split("-")[0] for path in folder.glob("*.npz"))
    assert files == ["guide", "weights"]
    make = {"guide": lambda _: dense((2,))}
    found, _ = load_networks(folder, config, make, file="guide")
    for ours, theirs in zip(found["guide"].get_weights(), other.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    (path,) = folder.glob("guide-*.npz")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged"):
        load_networks(folder, config, make, file="guide")


class Killed(BaseException):
    pass


def read(folder):
    """Return the content of a model's folder: number, weights, further arrays."""
    folder, config = read_config(folder, kinds=("any",))
    networks, _ = load_networks(folder, config, {"it": lambda _: dense((2,))})
    (weight, _) = networks["it"].get_weights()
    more = load_arrays(folder, config, "more")
    return config["number"], float(weight[0, 0]), float(more["value"])


def write(folder, number):
    network = dense((2,))
    network.set_weights([np.full(w.shape, number) for w in network.get_weights()])
    save_model(
        folder,
        kind="any",
        config={"number": number},
        networks={"it": network},
        files={"more": {"value": np.array(number)}},
        card=f"model {number}",
    )


def test_a_kill_leaves_the_old_model_or_the_new_one(tmp_path, monkeypatch):
    """Killed before each change of the file system in turn."""
    write(tmp_path, 1)
    changes = [(os, "replace"), (Path, "replace"), (Path, "unlink")]
    seen, before = set(), 0
    while True:
        left = [before]

        def counted(whole, left=left):
            def change(*args, **kwargs):
                if not left[0]:
                    raise Killed
                left[0] -= 1
                return whole(*args, **kwargs)

            return change

        with monkeypatch.context() as patch:
            for place, name in changes:
                patch.setattr(place, name, counted(getattr(place, name)))
            try:
                write(tmp_path, 2)
                break
            except Killed:
                before += 1
        seen.add(read(tmp_path))
        write(tmp_path, 1)
    assert seen == {(1, 1.0, 1.0), (2, 2.0, 2.0)} and before > 5
    assert read(tmp_path) == (2, 2.0, 2.0)
    assert len(list(tmp_path.glob("*"))) == 4  # two files of arrays, config, card


def test_a_changed_or_partial_configuration_is_refused_in_a_line(tmp_path):
    write(tmp_path, 1)
    path = tmp_path / "config.json"
    config = read_json(path)
    write_json(path, dict(reversed(config.items())))  # another order of keys
    read_config(tmp_path, kinds=("any",))
    for changed in ({"number": 2}, {"networks": {}}, {"weights_sha256": "0" * 64}):
        write_json(path, {**config, **changed})
        with pytest.raises(InputError, match="config.json: changed since"):
            read_config(tmp_path, kinds=("any",))
    for other in (1, True, 3, None):
        write_json(path, {**config, "format": other})
        with pytest.raises(InputError, match="config.json: format .*, expected 2"):
            read_config(tmp_path, kinds=("any",))
    for name in ("networks", "weights_sha256", "config_sha256"):
        write_json(path, {k: v for k, v in config.items() if k != name})
        with pytest.raises(InputError, match=f"config.json: no {name};"):
            read_config(tmp_path, kinds=("any",))
    ldm = {**config, "kind": "ldm", "grid": None}
    write_json(path, {**ldm, "config_sha256": config_hash(ldm)})
    with pytest.raises(InputError, match="no split, sampling, schedule, conditions"):
        read_config(tmp_path, kinds=("ldm",))
    ldm |= dict.fromkeys(("split", "sampling", "conditions"), {}) | {"schedule": [1]}
    write_json(path, {**ldm, "config_sha256": config_hash(ldm)})
    with pytest.raises(InputError, match="json: schedule is a list, expected dict"):
        read_config(tmp_path, kinds=("ldm",))
    write_json(path, [config])
    with pytest.raises(InputError, match="config.json: a list, expected"):
        read_config(tmp_path, kinds=("any",))


@pytest.mark.parametrize("error", [KeyError("name"), TypeError("x"), ValueError("y")])
def test_what_cannot_be_made_from_a_configuration_is_said_with_its_file(error):
    with pytest.raises(InputError, match="m/config.json: the unet cannot be made"):
        with made_from("m", "the unet"):
            raise error


def test_arrays_that_are_added_replace_the_former(tmp_path):
    write(tmp_path, 1)
    assert add_arrays(tmp_path, "more", {"value": np.array(3.0)}).is_file()
    assert read(tmp_path) == (1, 1.0, 3.0)
    assert len(list(tmp_path.glob("more-*.npz"))) == 1


def test_labels_of_subjects_are_hashed_even_where_they_come_in(tmp_path):
    split = {"train": ["anna", "bob"], "validation": ["carl"]}
    save_model(tmp_path, kind="any", config={"split": split}, networks={})
    found = read_config(tmp_path, kinds=("any",))[1]["split"]
    assert not {"anna", "bob", "carl"} & {*found["train"], *found["validation"]}
    assert len(found["train"]) == 2 and len(found["validation"]) == 1


def test_a_folder_does_not_stand_in_for_a_bundled_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_model("mnist") == BUNDLED / "mnist"
    write(tmp_path / "mnist", 1)
    with pytest.raises(InputError, match="mnist: a bundled model and a folder here"):
        find_model("mnist")
    assert find_model("./mnist") == Path("mnist")
    assert find_model(tmp_path / "mnist") == tmp_path / "mnist"
