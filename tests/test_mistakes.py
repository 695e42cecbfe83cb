"""The mistakes of the catalogue are detected and named, as README.md and the documentation say.

`make test` compares one mistake of each cause, `pytest -n auto --dist=loadgroup -m corpus` the
others; mistakes of one network share a process, and so what JAX has compiled for it.
"""

import re
from pathlib import Path

import pytest

from catalogue import repairs
from catalogue.mistakes import MISTAKES
from catalogue.table import expected, is_detected, is_named, peers, report_of, table

ROOT = Path(__file__).parents[1]
DOCUMENTATION = "docs/comparing-gradients.md"
HEADLINE = (
    r"Of (\d+) wrong backward passes as people write them, all (\d+) are detected, "
    r"and (\d+) are named with cause and place\."
)
ONE_OF_EACH = {mistake.cause: mistake.name for mistake in reversed(MISTAKES)}


def in_group(mistake, *marks):
    group = pytest.mark.xdist_group(mistake.fun.__name__)
    return pytest.param(mistake, id=mistake.name, marks=[group, *marks])


def compared(mistake):
    sampled = ONE_OF_EACH[mistake.cause] == mistake.name
    return in_group(mistake, *([] if sampled else [pytest.mark.corpus]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of candidates that divide by 0
@pytest.mark.parametrize("mistake", list(map(compared, MISTAKES)))
def test_a_mistake_is_detected_and_named(mistake):
    report = report_of(mistake)
    assert is_detected(report), str(report)
    assert is_named(mistake, report) == mistake.named, str(report)


@pytest.mark.corpus
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mistake", list(map(in_group, MISTAKES)))
def test_the_usual_checkers_notice_what_the_table_says(mistake):
    check_grads, gradcheck = peers(mistake)
    assert check_grads == mistake.check_grads
    assert gradcheck in (mistake.gradcheck, None)  # None without torch


@pytest.mark.parametrize("page", ["README.md", DOCUMENTATION])
def test_the_headline_is_what_the_catalogue_holds(page):
    text = " ".join((ROOT / page).read_text().split())
    (figures,) = re.findall(HEADLINE, text)
    cases, named = len(MISTAKES), sum(mistake.named for mistake in MISTAKES)
    assert list(map(int, figures)) == [cases, cases, named]


def test_the_table_is_what_the_catalogue_holds():
    rows = ((mistake, expected(mistake)) for mistake in MISTAKES)
    assert table(rows) in (ROOT / DOCUMENTATION).read_text()


@pytest.mark.parametrize(
    "name",
    [
        "tanh_slope_without_its_square",
        "exp_of_exp",  # whose rounding is without bounds
        "margin_of_the_perceptron",  # where any limit from 0 to 1 mends these few samples
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_mistake_is_placed_and_the_suggestion_written_into_its_file_mends_it(name):
    (mistake,) = (m for m in MISTAKES if m.name == name)
    outcome, _ = repairs.found(mistake)
    assert outcome._replace(quick=True) == (True, True, True, True, True)
    assert repairs.edited_lines(mistake)
