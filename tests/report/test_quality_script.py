"""Order and filters of the quality page, by its script."""

import json
from pathlib import Path
import shutil
import subprocess

import pytest

from dipy_synth import report
from dipy_synth.report import quality_page

NODE = shutil.which("node")
SCRIPT = Path(report.__file__).parent / "templates" / "quality.js"
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node")


@pytest.fixture(scope="module")
def page(prepared_folder, tmp_path_factory, read_page):
    path = tmp_path_factory.mktemp("page") / "quality.html"
    return read_page(quality_page(prepared_folder, path=path))


@pytest.fixture
def cards(page):
    """Attributes of each card by its id, in the order of the page."""
    return {attrs["id"]: {**attrs} for tag, attrs in page.tags if tag == "article"}


@pytest.fixture
def after(page, cards):
    """Return a function: steps -> ids of the cards that are shown after each."""
    options = [attrs for tag, attrs in page.tags if tag == "option"]

    def run(*steps):
        given = json.dumps({"options": options, "cards": [*cards.values()]})
        command = [NODE, Path(__file__).with_name("controls.js"), SCRIPT]
        command.append(json.dumps(steps))
        return json.loads(subprocess.check_output(command, input=given, text=True))

    return run


@pytest.mark.parametrize(
    "name, highest",
    [("histogram_distance", True), ("symmetry", False), ("age", False)],
)
def test_the_worst_of_a_metric_come_first_and_last_when_reversed(
    after, cards, name, highest
):
    shown, other = after({"order": name}, {"reversed": True})
    values = [float(cards[key][f"data-{name}"]) for key in shown]
    assert len({*values}) > 4 and values == sorted(values, reverse=highest)
    values = [float(cards[key][f"data-{name}"]) for key in other]
    assert values == sorted(values, reverse=not highest)


def test_outlier_scores_are_reversed_too_and_unknown_values_stay_last(after, cards):
    (lowest,) = after({"reversed": True})
    assert lowest == [*cards][::-1]
    known = {"v5": "0.4", "v3": "0.5"}  # the others have no alignment
    for key, value in known.items():
        cards[key]["data-alignment"] = value
    shown, other = after({"order": "alignment"}, {"reversed": True})
    assert shown[:2] == ["v5", "v3"] and other[:2] == ["v3", "v5"]


def test_a_link_to_a_card_that_is_not_shown_clears_the_filters(after, cards):
    away = next(key for key, card in cards.items() if card["data-split"] == "train")
    name, link = cards[away]["data-part"], {"link": f"#{away}"}
    train, kept = after({"split": "train"}, link)
    assert away in kept == train and len(train) == 6  # it is shown: nothing changes
    validation, after_split = after({"split": "validation"}, link)
    assert away not in validation and {*after_split} == {*cards}
    one, none, after_name = after({"part": name}, {"part": "?"}, link)
    assert one == [away] and none == [] and {*after_name} == {*cards}


def test_the_order_is_chosen_with_controls_of_the_keyboard(page):
    controls = {a["name"]: tag for tag, a in page.tags if "name" in a and tag != "meta"}
    kinds = {"order": "select", "reversed": "input", "split": "select", "part": "input"}
    assert controls == kinds
