"""Of use: cohorts of which one knows whether they help."""

from dataclasses import replace
import re

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.evaluation import Volumes
from dipy_synth.evaluation.downstream import Downstream, compare_downstream, in_words
from dipy_synth.evaluation.findings import of_use
from dipy_synth.grid import Grid

GRID = Grid((8, 8, 8), (8.0,) * 3)
PATTERN = np.random.default_rng(0).normal(0, 1, GRID.shape)


def cohort(n, seed, *, name="brains", effect=1.0, noise=1.0):
    """Give volumes that age moves along a pattern, besides noise of their own."""
    rng = np.random.default_rng(seed)
    ages = rng.uniform(20, 80, n).round(1)
    moved = effect * (ages - 50)[:, None, None, None] / 30 * PATTERN
    own = noise * rng.normal(0, 1, (n, *GRID.shape))
    volumes = np.clip(0.5 + 0.02 * (moved + own), 0, 1).astype("float32")
    rows = tuple({"age": age} for age in ages)
    return Volumes(volumes, GRID, name=name, rows=rows)


@pytest.fixture(scope="module")
def held_out():
    return cohort(60, 1, name="held out", noise=4)


@pytest.fixture(scope="module")
def few():
    return cohort(12, 2, name="train", noise=4)


def compare(real, synthetic, train):
    (found,) = compare_downstream(real, synthetic, train, repeats=400)
    return found, {arm.trained_on: arm for arm in found.arms}


def test_many_more_of_the_same_kind_help(held_out, few):
    found, arms = compare(held_out, cohort(200, 3, noise=4), few)
    assert found.helped is True and found.gain > 0 and found.n == 60
    assert arms["both"].score < arms["real"].score < found.baseline * 1.2
    assert (arms["real"].n, arms["synthetic"].n, arms["both"].n) == (12, 200, 212)
    assert arms["both"].interval[0] < arms["both"].score < arms["both"].interval[1]
    gain = arms["real"].score - arms["both"].score
    assert found.gain == pytest.approx(gain)


def test_brains_that_age_the_other_way_make_it_worse(held_out):
    wrong = cohort(200, 3, effect=-1.0, noise=4)
    found, _ = compare(held_out, wrong, cohort(60, 2, noise=4))
    assert found.helped is False and found.gain < 0
    assert "made it worse" in in_words(found)


def test_a_copy_of_what_is_there_is_no_help(held_out):
    train = cohort(40, 2, noise=4)
    found, arms = compare(held_out, train, train)
    assert arms["synthetic"].score == arms["real"].score
    assert abs(found.gain) < 0.5 and found.helped is not True


def test_the_ceiling_is_as_many_more_real_brains(held_out):
    train = cohort(40, 2, noise=4)
    same = compare(held_out, cohort(60, 3, noise=4), train)[0].ceiling
    half, made, real = same.arms
    assert (half.n, made.n, real.n, same.more) == (20, 40, 40, 20)
    assert same.gain == pytest.approx(half.score - made.score)
    assert same.real_gain == pytest.approx(half.score - real.score)
    assert same.real_interval[0] > 0 and same.interval[0] > 0
    # of one kind, they are worth the same
    assert abs(same.gain - same.real_gain) < 0.3 * same.real_gain
    wrong = compare(held_out, cohort(60, 3, effect=-1.0, noise=4), train)[0].ceiling
    assert wrong.gain < 0 and wrong.real_gain == same.real_gain
    few = compare(held_out, cohort(12, 3, noise=4), train)[0].ceiling
    assert few.more == 12 and [arm.n for arm in few.arms] == [20, 32, 32]


def test_the_answer_is_one_line_with_its_numbers(held_out, few):
    found, arms = compare(held_out, cohort(200, 3, noise=4), few)
    words = str(of_use((found,)))
    assert of_use((found,)).good is True and "\n" not in words
    assert (
        f"{arms['real'].score:.1f} (" in words
        and "years when trained on 12 real brains" in words
    )
    assert "trained on 212 real and synthetic brains" in words
    assert re.search(r"The synthetic brains helped: \+\d+\.\d\d years saved", words)
    more = found.ceiling
    assert f"half of the real brains, 6 synthetic ones save {more.gain:+.2f} (" in words
    assert f"the ceiling, {more.real_gain:+.2f} (" in words
    unclear = replace(found, gain=0.1, interval=(-0.2, 0.4))
    assert isinstance(unclear, Downstream) and unclear.helped is None
    assert "is not shown: +0.10 years" in in_words(unclear)


def test_brains_without_an_age_are_left_out(held_out, few):
    made = cohort(30, 3)
    rows = ({"age": None}, {}, *made.rows[2:])
    found, arms = compare(held_out, replace(made, rows=rows), few)
    assert arms["synthetic"].n == 28 and found.n == 60


@pytest.mark.parametrize("side", ["real", "synthetic", "train"])
def test_fewer_than_ten_brains_are_refused(held_out, few, side):
    cohorts = {"real": held_out, "synthetic": cohort(10, 3), "train": few}
    compare_downstream(**cohorts, repeats=10)
    cohorts[side] = cohort(9, 4, name="nine")
    with pytest.raises(InputError, match="nine: 9 brains with an age; expected 10"):
        compare_downstream(**cohorts)


def test_what_says_nothing_of_age_is_refused(held_out, few):
    same = replace(few, name="same", rows=({"age": 70},) * len(few))
    with pytest.raises(InputError, match="same: all brains have the age 70"):
        compare_downstream(held_out, same, few)
    with pytest.raises(InputError, match="expected train"):
        compare_downstream(held_out, few, None)
