"""Streams of random numbers."""

import ast
from pathlib import Path

import numpy as np
import pytest

import dipy_synth
from dipy_synth.errors import InputError
from dipy_synth.utils.random import USES, check_seed, random_stream

# a split by one draw, and streams spawned from one: none begins with a constant here
PLAIN = {"utils/random.py", "data/image_cohort.py", "phantom/brain.py"}


def start(rng):
    return tuple(rng.integers(0, 2**62, 4).tolist())


def test_no_two_streams_agree_at_seed_0():
    keys = [(), (0,), (0, 0), (0, 0, 0)]
    seen = [start(np.random.default_rng(0))]
    seen += [start(child) for child in np.random.default_rng(0).spawn(3)]
    counts = {"samples": 3, "pairs: training": 2, "pairs: validation": 2}
    for use in USES:
        chosen = keys[counts[use]] if use in counts else ()
        seen += [start(random_stream(use, *chosen, seed=seed)) for seed in (0, 2**32)]
    assert len({*seen}) == len(seen)
    words = [constant & 0xFFFFFFFF for constant in USES.values()]
    assert len({*words}) == len(words) and 0 not in words


def test_the_epoch_and_the_batch_count_where_the_seed_is_0():
    keys = [(epoch, batch) for epoch in range(4) for batch in range(4)]
    for use in ("pairs: training", "volumes: augmentation"):
        starts = {start(random_stream(use, *key, seed=0)) for key in keys}
        assert len(starts) == len(keys)


def test_streams_of_runs_that_go_on_stay_what_they_were():
    for use, keys, words in (
        ("pairs: order", (3,), [0x0FD3, 3, 7]),
        ("pairs: training", (3, 2), [0x9A15, 3, 2, 7]),
        ("pairs: validation", (3, 2), [0x7A1D, 3, 2, 7]),
        ("latents: views", (), [0x71E5, 7]),
        ("denoising errors", (1,), [0xE440, 1, 7]),
    ):
        same = start(np.random.default_rng(words))
        assert start(random_stream(use, *keys, seed=7)) == same


def test_every_use_has_a_constant_of_its_own():
    root = Path(dipy_synth.__file__).parent
    for path in root.rglob("*.py"):
        if path.relative_to(root).as_posix() not in PLAIN:
            nodes = ast.walk(ast.parse(path.read_text()))
            names = [node.attr for node in nodes if isinstance(node, ast.Attribute)]
            assert "default_rng" not in names, path


@pytest.mark.parametrize("seed", [None, -1, 1.5, "1", float("nan"), [1]])
def test_what_is_no_seed_is_refused_in_a_line(seed):
    with pytest.raises(InputError, match="seed .*: expected an integer, 0 or more"):
        check_seed(seed)
    with pytest.raises(InputError, match="expected an integer"):
        random_stream("patches", seed=seed)


def test_seeds_may_be_large_and_of_numpy():
    assert check_seed(np.int64(3)) == 3 and check_seed(2**70) == 2**70
    starts = {start(random_stream("patches", seed=s)) for s in (0, 2**32, 2**64)}
    assert len(starts) == 3
