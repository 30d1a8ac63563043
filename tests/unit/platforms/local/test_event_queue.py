"""The ways of an event, without environments: what is submitted is answered by the test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
import json
from pathlib import Path
import sys
import tracemalloc
from typing import Any

import pytest

from serverless_mlperf.platforms.local.concurrency import RESERVED
from serverless_mlperf.platforms.local.destinations import Letter
from serverless_mlperf.platforms.local.event_queue import ENDS, EventQueue
from serverless_mlperf.platforms.local.job import EventExpiredError, Job, Outcome
from serverless_mlperf.platforms.local.model import FunctionSpec, ThrottledError
from serverless_mlperf.platforms.local.scaled_clock import ScaledClock

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
SPEC = FunctionSpec("f", ARN, "a.b", "python3.11", 128, 3, "1", Path("x"), "0")
GOOD, BAD = Outcome(b"1"), Outcome(b'{"errorMessage": "no good"}', "error", "ValueError")


class Bench:
    """An event queue on a clock that stands still; jobs are kept until the test ends them."""

    def __init__(self) -> None:
        self.clock = ScaledClock(0)
        self.jobs: list[Job] = []
        self.submitted = 0
        self.letters: list[Letter] = []
        self.throttle: ThrottledError | None = None
        self.broken = ""
        self.queue = EventQueue(self._submit, self.clock)
        self.queue.send = self._send

    def _submit(self, _: FunctionSpec, job: Job) -> None:
        self.submitted += 1
        if self.throttle is not None:
            # A new one: an exception that is raised again and again keeps all its tracebacks.
            raise ThrottledError(str(self.throttle), self.throttle.reason, hopeless=self.throttle.hopeless)
        self.jobs.append(job)

    async def _send(self, letter: Letter) -> str | None:
        self.letters.append(letter)
        return self.broken if letter.target_arn.endswith("broken") else None

    def accept(self, spec: FunctionSpec = SPEC) -> None:
        """Accept one more event."""
        self.queue.accept(spec, f"id-{self.submitted}", b'{"a": 1}', 0)

    def end(self, outcome: Any) -> None:
        """End the oldest job under way."""
        job = self.jobs.pop(0)
        job.finish(job, outcome)

    async def pass_time(self, seconds: float) -> None:
        """Put the clock forward and let all happen that is due."""
        self.clock.advance(seconds)
        done = self.clock.call_later(0, lambda: None)
        while done.act is not None:
            await asyncio.sleep(0)
        await self.settle()

    async def settle(self) -> None:
        """Let letters be sent."""
        await asyncio.gather(*self.queue._sending)

    def counted(self) -> dict[str, int]:
        """What has been counted at all."""
        return {name: number for name, number in self.queue.counts.items() if number}


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """A queue whose account must be whole in the end."""
    made = Bench()
    async with asyncio.timeout(30):
        yield made
    await made.queue.close()
    counts = made.queue.counts
    assert counts["accepted"] == sum(counts[end] for end in ENDS) + len(made.jobs), "an event had no end, or two"


def run(scenario: Callable[[], Any]) -> None:
    """Run a scenario."""
    asyncio.run(scenario())


def test_a_failed_event_is_tried_after_one_and_two_minutes() -> None:
    """Nothing before a minute has passed, nor before two more; the third failure is the last."""

    async def scenario() -> None:
        async with bench() as b:
            b.accept()
            for wait_s in (60, 120):
                b.end(BAD)
                await b.pass_time(wait_s - 1)
                assert not b.jobs
                await b.pass_time(1)
                assert len(b.jobs) == 1
            b.end(BAD)
            assert b.counted() == {"accepted": 1, "retried": 2, "failed": 3, "dropped": 1}

    run(scenario)


@pytest.mark.parametrize(("attempts", "tries"), [(0, 1), (1, 2), (2, 3)])
def test_the_function_says_how_often(attempts: int, tries: int) -> None:
    """MaximumRetryAttempts retries, no more."""

    async def scenario() -> None:
        async with bench() as b:
            b.accept(replace(SPEC, max_retry_attempts=attempts))
            for _ in range(tries):
                b.end(BAD)
                await b.pass_time(121)
            assert b.submitted == tries
            assert b.counted()["dropped"] == 1

    run(scenario)


def test_a_throttled_event_backs_off_up_to_five_minutes() -> None:
    """Tries at intervals that double from a second (drawn from their upper half), until the event is too old."""

    async def scenario() -> None:
        async with bench() as b:
            b.throttle = ThrottledError("full", RESERVED)
            b.accept(replace(SPEC, max_event_age_s=3600))
            moments, seen = [0.0], 1
            while not b.counted().get("expired"):
                await b.pass_time(0.25)
                if b.submitted > seen:
                    seen = b.submitted
                    moments.append(b.clock.now_s())
            intervals = [after - before for before, after in pairwise(moments)]
            for number, interval_s in enumerate(intervals):
                base_s = min(300, 2**number)
                assert base_s / 2 <= interval_s <= base_s + 0.25
            assert 3600 <= b.clock.now_s() <= 3600.5
            assert b.counted() == {"accepted": 1, "throttled": seen, "expired": 1, "dropped": 1}

    run(scenario)


def test_back_off_is_no_retry() -> None:
    """A throttled event keeps its two retries, and its back-off starts anew after a failure."""

    async def scenario() -> None:
        async with bench() as b:
            b.throttle = ThrottledError("full", RESERVED)
            b.accept()
            await b.pass_time(1)
            b.throttle = None
            await b.pass_time(2)
            b.end(BAD)
            await b.pass_time(60)
            b.end(BAD)
            await b.pass_time(120)
            b.end(GOOD)
            assert b.counted() == {"accepted": 1, "throttled": 2, "retried": 2, "failed": 2, "delivered": 1}

    run(scenario)


def test_an_event_too_old_is_not_tried_again() -> None:
    """The age ends the wait for a retry, and a wait for the host: condition EventAgeExceeded."""

    async def scenario() -> None:
        async with bench() as b:
            spec = replace(SPEC, max_event_age_s=90, on_failure_arn="arn:aws:sqs:us-east-1:000000000000:q")
            b.accept(spec)
            b.end(BAD)
            await b.pass_time(60)
            b.end(BAD)
            await b.pass_time(29)
            assert not b.letters
            await b.pass_time(1)
            b.accept(spec)
            b.end(EventExpiredError("waited"))
            await b.settle()
            conditions = [json.loads(letter.body)["requestContext"] for letter in b.letters]
            assert [(c["condition"], c["approximateInvokeCount"]) for c in conditions] == [
                ("EventAgeExceeded", 2), ("EventAgeExceeded", 0),
            ]  # fmt: skip
            assert b.counted()["destination"] == b.counted()["expired"] == 2

    run(scenario)


def test_destination_and_dead_letter_queue_both_hear_of_it() -> None:
    """The record goes to the one, the event itself with its attributes to the other; it has ended once."""

    async def scenario() -> None:
        async with bench() as b:
            b.accept(replace(SPEC, max_retry_attempts=0, on_failure_arn="a:destination", dead_letter_arn="a:dlq"))
            b.end(BAD)
            await b.settle()
            record, dead = b.letters
            assert json.loads(record.body)["requestContext"]["condition"] == "RetriesExhausted"
            assert dead.body == b'{"a": 1}'
            assert dead.attributes["ErrorMessage"] == ("String", "no good")
            assert b.counted() == {"accepted": 1, "failed": 1, "destination": 1}

    run(scenario)


def test_what_no_target_takes_is_dropped_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A destination that is gone: the dead-letter queue has it alone; both gone: dropped, with one line each."""

    async def scenario() -> None:
        async with bench() as b:
            b.broken = "no such queue"
            spec = replace(SPEC, max_retry_attempts=0, on_failure_arn="a:broken", dead_letter_arn="a:dlq")
            b.accept(spec)
            b.accept(replace(spec, dead_letter_arn=None))
            b.end(BAD)
            await b.settle()
            assert b.counted() == {"accepted": 2, "failed": 1, "undeliverable": 1, "dropped": 1}
            b.end(BAD)
            await b.settle()

    run(scenario)
    assert capsys.readouterr().err.count("no such queue") == 2


def test_success_has_a_destination_of_its_own() -> None:
    """An answered event is told to the on-success destination with the answer."""

    async def scenario() -> None:
        async with bench() as b:
            b.accept(replace(SPEC, on_success_arn="arn:aws:sqs:us-east-1:000000000000:q"))
            b.end(GOOD)
            await b.settle()
            record = json.loads(b.letters[0].body)
            assert (record["requestContext"]["condition"], record["responsePayload"]) == ("Success", 1)
            assert b.counted() == {"accepted": 1, "delivered": 1}

    run(scenario)


def test_a_function_switched_off_sends_events_away_at_once() -> None:
    """Reserved concurrency 0: to the destination without a try, condition ZeroReservedConcurrency."""

    async def scenario() -> None:
        async with bench() as b:
            b.throttle = ThrottledError("off", RESERVED, hopeless=True)
            b.accept(replace(SPEC, on_failure_arn="a:q"))
            await b.settle()
            context = json.loads(b.letters[0].body)["requestContext"]
            assert (context["condition"], context["approximateInvokeCount"]) == ("ZeroReservedConcurrency", 0)

    run(scenario)


def test_events_of_a_deleted_function_end_as_dropped() -> None:
    """What waited, and what was running; a new function of the same name never sees them."""

    async def scenario() -> None:
        async with bench() as b:
            for _ in range(3):
                b.accept()
            b.end(BAD)
            b.queue.forget("f")
            b.accept()
            b.end(BAD)
            b.end(GOOD)
            await b.pass_time(500)
            assert b.counted() == {"accepted": 4, "failed": 1, "dropped": 3}
            assert len(b.jobs) == 1

    run(scenario)


def test_what_waits_is_tried_with_the_functions_new_state() -> None:
    """What the function's ARN stands for when an event fails or is tried again decides, not what it stood for."""

    async def scenario() -> None:
        async with bench() as b:
            b.accept()
            b.queue.resolve = {SPEC.arn: replace(SPEC, max_retry_attempts=0)}.get
            b.end(BAD)
            assert b.counted()["dropped"] == 1

    run(scenario)


def test_a_waiting_event_is_small_besides_its_payload() -> None:
    """20,000 events that back off: less than 640 bytes each, payload not counted, so that 200,000 are no burden."""

    async def scenario() -> None:
        async with bench() as b:
            b.throttle = ThrottledError("full", RESERVED)
            payloads = [b"x" * 700 for _ in range(20_000)]
            ids = [str(number) for number in range(20_000)]
            tracemalloc.start()
            for payload, request_id in zip(payloads, ids, strict=True):
                b.queue.accept(SPEC, request_id, payload, sys.maxsize)
            used, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert used / 20_000 < 640

    run(scenario)
