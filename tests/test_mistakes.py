"""The mistakes of the catalogue are detected and named.

Two of each cause are tried here; `python tests/mistakes_table.py` tries all.
"""

import pytest
from mistakes import MISTAKES
from mistakes_table import outcome, report_of

PER_CAUSE = 1


def sample():
    taken = {}
    for mistake in MISTAKES:
        taken.setdefault(mistake.cause, []).append(mistake)
    return [mistake for several in taken.values() for mistake in several[:PER_CAUSE]]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of candidates that divide by 0
@pytest.mark.parametrize("mistake", sample(), ids=lambda mistake: mistake.name)
def test_a_mistake_is_detected_and_named(mistake):
    report = report_of(mistake)
    found = outcome(mistake, report)
    assert found.detected, str(report)
    assert found.named, str(report)
