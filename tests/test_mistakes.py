"""The mistakes of the catalogue are detected and named, as README.md and the documentation say.

`make test` compares three, `make slow` one of each cause, and
`pytest -n auto --dist=loadgroup -m corpus` all; mistakes of one network share a process, and what
JAX has compiled for it.
"""

import re
from pathlib import Path

import pytest

from catalogue import field, repairs
from catalogue.mistakes import MISTAKES
from catalogue.mistakes.field import OFTEN_ACCUSED
from catalogue.table import (
    expected,
    findings,
    has_place,
    is_answered,
    is_detected,
    is_misnamed,
    is_named,
    is_placed,
    peers,
    report_of,
    table,
)
from jaxpercep import compare_gradients

ROOT = Path(__file__).parents[1]
DOCUMENTATION = "docs/how-gradients-are-compared.md"
FIELD = (ROOT / "docs" / "from-the-field.md").read_text("utf-8")
HEADLINE = (
    r"Of (\d+) wrong backward passes as people write them, all (\d+) are detected. (\d+) are named "
    r"with cause and place, or repaired where the mistake was made; (\d+) are given a wrong cause\."
)

ONE_OF_EACH = {mistake.cause: mistake.name for mistake in reversed(MISTAKES)}


def in_group(name, mistake):
    group = pytest.mark.xdist_group(mistake.fun.__name__)
    return pytest.param(mistake, id=name, marks=group)


EVERY = [in_group(mistake.name, mistake) for mistake in MISTAKES]
SAMPLE = [param for param in EVERY if param.id in ONE_OF_EACH.values()]
ignoring = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # candidates may divide by 0


@pytest.mark.slow
@ignoring
@pytest.mark.parametrize("mistake", SAMPLE)
def test_a_mistake_of_each_cause_is_detected_and_named(mistake):
    report = report_of(mistake)
    assert is_detected(report), str(report)
    assert is_named(mistake, report), str(report)


@pytest.mark.corpus
@ignoring
@pytest.mark.parametrize("mistake", EVERY)
def test_a_mistake_is_detected_and_named_or_repaired(mistake):
    report = report_of(mistake)
    assert findings(mistake, report) == expected(mistake)[:3], str(report)
    assert not is_misnamed(mistake, report), str(report)
    assert is_placed(mistake, report.repairs) == has_place(mistake), str(report)
    assert not (report.repairs and mistake.structural), str(report)
    for public in field.REPORTS:
        if public.mistake == mistake.name:
            assert field.section(public, mistake, report) in FIELD


@pytest.mark.corpus
@pytest.mark.parametrize("network", [in_group(*pair) for pair in OFTEN_ACCUSED.items()])
def test_what_is_right_but_often_called_wrong_matches(network):
    report = compare_gradients(network.fun, network.right, *network.args)
    assert report.verdict == "match", str(report)


@pytest.mark.corpus
@ignoring
@pytest.mark.parametrize("mistake", EVERY)
def test_the_usual_checkers_notice_what_the_table_says(mistake):
    check_grads, gradcheck = peers(mistake)
    assert check_grads == mistake.check_grads
    assert gradcheck in (mistake.gradcheck, None)  # None without torch


def test_the_page_from_the_field_has_a_section_for_each_report():
    assert FIELD.startswith(field.HEADER)
    assert re.findall("^## (.*)$", FIELD, re.MULTILINE) == [one.where for one in field.REPORTS]


@pytest.mark.parametrize("page", ["README.md", DOCUMENTATION])
def test_the_headline_is_what_the_catalogue_holds(page):
    text = " ".join((ROOT / page).read_text().split())
    (figures,) = re.findall(HEADLINE, text)
    cases = len(MISTAKES)
    answered = sum(map(is_answered, MISTAKES))
    assert list(map(int, figures)) == [cases, cases, answered, 0]
    assert answered >= 0.97 * cases


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
