"""Fixtures that the tests of this package share during a run of pytest."""

import pytest

from benchmarks.peaks import Peaks, measure_peaks


@pytest.fixture(scope="session")
def peaks() -> Peaks:
    """Measures what this machine can do at best."""
    return measure_peaks()


@pytest.fixture(scope="session")
def medians() -> dict[str, dict[str, float]]:
    """Collects the seconds a step measured so far: cell -> peer -> seconds."""
    return {}
