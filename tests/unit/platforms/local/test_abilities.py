"""What is told of this host."""

import os

from serverless_mlperf.platforms.local.abilities import abilities


def test_abilities_of_this_host() -> None:
    """Cores, controllers with reasons, the largest size and the timer are told from this host."""
    found = abilities(0.05)
    assert found.cores == len(os.sched_getaffinity(0)) == found.calibration.cores
    assert found.controllers["sigstop"] is None
    assert found.controllers[found.best_controller] is None
    assert all(reason is None or reason for reason in found.controllers.values())
    assert 128 <= found.largest_memory_mib <= 10_240
    assert 0 < found.timer_late_ns < 10**9
