"""Every public function, given one good or bad argument at a time.

A good call returns, without a warning. A bad one is answered by a `TypeError` or `ValueError` of
the library that names the argument and what came. `pytest -m fuzz` makes every call, the other
test a sample of them.
"""

import zlib

import pytest

pytestmark = pytest.mark.slow

SAMPLED = 12  # one bad value in so many


@pytest.fixture(scope="module")
def calls():
    """The module is imported late: collecting tests would take every worker seconds."""
    import api_calls

    return api_calls


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    import api_values

    return api_values.TABLE | api_values.files(tmp_path_factory.mktemp("data"))


@pytest.mark.fuzz
def test_every_call(calls, values):
    made, faults = 0, []
    for subject in calls.SUBJECTS.values():
        chosen = list(calls.variations(subject, values))
        made += len(chosen)
        faults += calls.faults(subject, chosen, values)
    assert made > 2000
    assert not faults, "\n".join(faults)


def test_a_sample_of_calls(calls, values):
    faults = []
    for name, subject in calls.SUBJECTS.items():
        chosen = list(calls.variations(subject, values))
        good, bad = ([call for call in chosen if call[2] is is_good] for is_good in (True, False))
        start = zlib.crc32(name.encode()) % min(SAMPLED, len(bad) or 1)
        faults += calls.faults(subject, [*good[:1], *bad[start::SAMPLED]], values)
    assert not faults, "\n".join(faults)
