"""The host's spin test."""

from collections.abc import Iterator
import os

import pytest

from serverless_mlperf import calibration
from serverless_mlperf.calibration import Calibration, calibrate, wait_until_quiet


def test_calibration_counts_the_cores_it_may_use() -> None:
    """A spin test finds more than nothing and no more than there is."""
    found = calibrate(0.05)
    assert found.cores == len(os.sched_getaffinity(0))
    assert 0 < found.delivered_vcpu <= found.cores * 1.05


def test_a_host_that_delivers_less_is_not_ok() -> None:
    """The threshold is 95 % of the cores."""
    assert Calibration(1.91, 2).ok
    assert not Calibration(1.89, 2).ok


def test_waiting_ends_when_the_host_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrations are repeated until one is good."""
    monkeypatch.setattr(calibration, "PAUSE_S", 0)
    results = iter([Calibration(1.0, 2), Calibration(1.2, 2), Calibration(2.0, 2)])
    assert wait_until_quiet(measure=lambda _: next(results)).ok


def test_waiting_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that never becomes quiet gives its last calibration."""
    monkeypatch.setattr(calibration, "PAUSE_S", 0)
    busy: Iterator[Calibration] = iter(lambda: Calibration(1.0, 2), None)
    assert not wait_until_quiet(0, measure=lambda _: next(busy)).ok
