"""Whether samples follow what was asked: where the answer is known."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.metrics.conditioning import (
    RidgePredictor,
    compare_trends,
    follows_category,
    follows_number,
    pearson,
)

AGES = np.linspace(20, 80, 31)


def test_a_number_that_is_followed():
    found = follows_number(AGES, AGES + 2)
    assert found.r == pytest.approx(1) and found.mae == pytest.approx(2)
    assert found.p_value == pytest.approx(1 / 1001)
    assert abs(found.control_r) < 0.03 and found.control_mae > 15
    assert found.n == 31


def test_a_number_that_is_not():
    rng = np.random.default_rng(0)
    p = [
        follows_number(AGES, rng.normal(size=31), shuffles=99).p_value
        for _ in range(100)
    ]
    assert 0.35 < np.mean(p) < 0.65  # uniform on (0, 1)
    constant = follows_number(AGES, np.full(31, 50.0))
    assert constant.r == 0 and constant.p_value == 1


def test_each_value_of_a_category_counts_the_same():
    asked = np.array(["F"] * 15 + ["M"] * 5)
    assert follows_category(asked, asked).accuracy == 1
    assert follows_category(asked, asked).p_value < 0.01
    lazy = follows_category(asked, np.full(20, "F"))
    assert lazy.accuracy == lazy.control_accuracy == 0.5 and lazy.p_value == 1
    half = follows_category(["F", "F", "M"], ["F", "M", "M"])
    assert half.accuracy == 0.75


def test_trends_that_agree_and_trends_that_do_not():
    rng = np.random.default_rng(0)
    real, asked = rng.uniform(20, 80, 60), rng.uniform(20, 80, 60)
    noise = rng.normal(0, 2, (2, 60))
    truth = 5 + 0.4 * real + noise[0]
    same = compare_trends(asked, 5 + 0.4 * asked + noise[1], real, truth)
    assert same.agrees and same.ratio == pytest.approx(1, abs=0.15)
    assert same.p_value < 0.01 and same.real_interval[0] < 0.4 < same.real_interval[1]
    none = compare_trends(asked, 20 + noise[1], real, truth)
    assert not none.agrees and abs(none.ratio) < 0.15
    low, high = none.interval
    assert low < none.slope < high and high - low < 0.15


def test_slope_without_noise_is_exact():
    found = compare_trends(AGES, 3 - 0.5 * AGES, AGES, 0.25 * AGES)
    assert found.slope == pytest.approx(-0.5) and found.ratio == pytest.approx(-2)
    assert found.p_value == pytest.approx(1 / 1001)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8))
    return x, 50 + 10 * x[:, 0] - 5 * x[:, 3] + rng.normal(0, 1, 60)


def test_predictor_of_a_number(table):
    x, y = table
    predict = RidgePredictor(x[:40], y[:40])
    assert np.corrcoef(predict(x[40:]), y[40:])[0, 1] > 0.98


@pytest.mark.parametrize("n", [6, 40])  # fewer volumes than features, and more
def test_predictor_chooses_the_penalty_by_leave_one_out(table, n):
    x, y = table[0][:n], table[1][:n] + np.random.default_rng(1).normal(0, 20, n)
    penalties = [1e-3, 0.1, 10.0]
    unit = np.mean(np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2)

    def by_hand(x, y, penalty, new):
        mean, gram = x.mean(axis=0), (x - x.mean(axis=0)).T @ (x - x.mean(axis=0))
        rest = (x - mean).T @ (y - y.mean())
        weights = np.linalg.solve(gram + penalty * unit * np.eye(x.shape[1]), rest)
        return (new - mean) @ weights + y.mean()

    errors = [
        np.mean(
            [
                (by_hand(np.delete(x, i, 0), np.delete(y, i), p, x[i]) - y[i]) ** 2
                for i in range(n)
            ]
        )
        for p in penalties
    ]
    best = penalties[int(np.argmin(errors))]
    found = RidgePredictor(x, y, penalties=penalties)(table[0])
    assert found == pytest.approx(by_hand(x, y, best, table[0]))
    assert best != penalties[0]  # the noise asks for more than the least penalty


def test_correlation_is_zero_where_one_does_not_vary(table):
    x, y = table
    assert pearson(x[:, 0], 3 - 2 * x[:, 0]) == pytest.approx(-1)
    assert pearson(x[:, 0], y) == pytest.approx(np.corrcoef(x[:, 0], y)[0, 1])
    assert pearson(np.full(3, 0.1), [1, 2, 3]) == 0  # its mean is not 0.1 exactly


def test_predictor_of_a_category(table):
    x, y = table
    sex = np.where(y > 50, "M", "F")
    predict = RidgePredictor(x[:40], sex[:40])
    assert set(predict(x)) == {"F", "M"}
    assert np.mean(predict(x[40:]) == sex[40:]) > 0.8


def test_predictor_of_several_categories(table):
    x, _ = table
    kind = np.array(["a", "b", "c"])[x[:, :3].argmax(axis=1)]
    predict = RidgePredictor(x[:40], kind[:40])
    assert set(predict(x)) == {"a", "b", "c"}
    assert np.mean(predict(x[40:]) == kind[40:]) > 0.7


@pytest.mark.parametrize(
    "call",
    [
        lambda: follows_number([1, 2, np.nan, 3], [1, 2, 3, 4]),
        lambda: follows_number(AGES, AGES[1:]),
        lambda: follows_category([], []),
        lambda: compare_trends(np.full(31, 5.0), AGES, AGES, AGES),
        lambda: RidgePredictor(np.eye(5), [1, 2, 3]),
        lambda: RidgePredictor(np.eye(5), list("abcde")),
        lambda: RidgePredictor(np.eye(3), np.array(["F", None, "M"])),
    ],
)
def test_bad_values_are_reported(call):
    with pytest.raises(InputError, match="expected"):
        call()


def test_lines_of_other_ages_agree_where_only_the_ages_differ():
    rng = np.random.default_rng(0)
    young, old = rng.uniform(20, 40, 15), rng.uniform(50, 80, 15)
    near_its_mean = [60 + 0.1 * (x - 65) + rng.normal(0, 0.3, 15) for x in (young, old)]
    one = follows_number(young, near_its_mean[0])
    other = follows_number(old, near_its_mean[1])
    assert one.mae > 0.9 * one.control_mae
    offset, error = one.offset(other)
    assert abs(offset) < 1.96 * error < 3
    above, error = follows_number(young, near_its_mean[0] + 20).offset(other)
    assert above > 1.96 * error and above == pytest.approx(offset + 20)
