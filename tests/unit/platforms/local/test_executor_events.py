"""Asynchronous invocations: accepted at once, in order, tried again, counted."""

import asyncio
import json
import os
from pathlib import Path

from executor_functions import ask, executor, function

from serverless_mlperf.platforms.local.executor import LocalExecutor
from serverless_mlperf.platforms.local.host import most_at_once
from serverless_mlperf.platforms.local.service_model import ServiceModel

FAST = ServiceModel(clock_speed=600)
"""A minute takes 0.1 s."""


def test_events_wait_in_order_for_the_host(tmp_path: Path) -> None:
    """Where only the host's bound holds events back, they are served in the order of their acceptance, unthrottled."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            spec = function(tmp_path)
            running.bound(spec.name, 1)
            ids = [running.submit_event(spec, json.dumps({"n": n}).encode()) for n in range(30)]
            await _counted(running, "delivered", 30)
            assert [report["request_id"] for report in running.reports(spec.name)] == ids
            assert running.status()["cold_starts"] == 1
            assert running.status()["events"]["throttled"] == 0

    asyncio.run(scenario())


def test_a_backlog_starts_every_environment_the_host_can_run(tmp_path: Path) -> None:
    """Events beyond the first environment start further ones, one init phase after the other if there is no room."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            spec = function(tmp_path, memory_mib=768)
            limit = most_at_once(768, len(os.sched_getaffinity(0)))
            for _ in range(3 * limit):
                running.submit_event(spec, b'{"act": "sleep", "s": 0.5}')  # longer than a cold start takes
            await _counted(running, "delivered", 3 * limit)
            assert len({report["environment_id"] for report in running.reports(spec.name)}) == limit

    asyncio.run(scenario())


def test_failed_event_is_tried_again_with_the_same_request_id(tmp_path: Path) -> None:
    """An event that fails twice is delivered by its second retry, under one request id."""

    async def scenario() -> None:
        async with executor(tmp_path, model=FAST) as running:
            spec = function(tmp_path)
            folder = Path((await ask(running, spec, act="environment"))["variables"]["TMPDIR"])
            event = {"act": "fail_until", "path": str(folder / "tries"), "times": 3}
            request_id = running.submit_event(spec, json.dumps(event).encode())
            await _counted(running, "delivered", 1)
            counts = running.status()["events"]
            assert {k: v for k, v in counts.items() if v} == {"accepted": 1, "delivered": 1, "retried": 2, "failed": 2}
            assert [r["request_id"] for r in running.reports(spec.name)[1:]] == [request_id] * 3

    asyncio.run(scenario())


def test_hopeless_event_is_dropped_and_counted(tmp_path: Path) -> None:
    """After the last retry an event is dropped; how many tries it has is the function's setting."""

    async def scenario() -> None:
        async with executor(tmp_path, model=FAST) as running:
            running.submit_event(function(tmp_path, max_retry_attempts=1), b'{"act": "fail"}')
            await _counted(running, "dropped", 1)
            counts = running.status()["events"]
            assert {k: v for k, v in counts.items() if v} == {"accepted": 1, "retried": 1, "failed": 2, "dropped": 1}

    asyncio.run(scenario())


def test_events_of_a_deleted_function_are_counted_as_dropped(tmp_path: Path) -> None:
    """What waits when its function is deleted ends as dropped: nothing is forgotten."""

    async def scenario() -> None:
        async with executor(tmp_path) as running:
            spec = function(tmp_path)
            running.bound(spec.name, 1)
            running.submit_event(spec, b'{"act": "fail"}')
            await _counted(running, "failed", 1)
            running.submit_event(spec, b'{"act": "sleep", "s": 30}')
            running.submit_event(spec, b"{}")
            await running.retire(spec.name)
            await _counted(running, "dropped", 3)

    asyncio.run(scenario())


async def _counted(running: LocalExecutor, name: str, number: int) -> None:
    async with asyncio.timeout(60):
        while running.status()["events"][name] < number:
            await asyncio.sleep(0.01)
