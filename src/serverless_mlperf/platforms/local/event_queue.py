"""Asynchronous invocations: accepted at once, delivered at least once, tried again, and followed to their end.

Each accepted event ends in exactly one way, which is counted: delivered, handed to the destination for failures, to
the dead-letter queue, or dropped. Delays and ages go by the platform's scaled clock.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random
import sys
import time
from typing import Final

from serverless_mlperf.errors import BenchmarkError
from serverless_mlperf.platforms.local.destinations import (
    Condition,
    Ending,
    Letter,
    dead_letter_attributes,
    invocation_record,
)
from serverless_mlperf.platforms.local.executor_protocol import Resolve, Send
from serverless_mlperf.platforms.local.job import EventExpiredError, Job, Outcome
from serverless_mlperf.platforms.local.journal.base import Entry, Journal, NoJournal, bytes_of
from serverless_mlperf.platforms.local.model import FunctionSpec, ThrottledError
from serverless_mlperf.platforms.local.scaled_clock import ScaledClock, Timer

RETRY_DELAYS_S: Final = (60.0, 120.0)
"""After the first and the second failure (AWS, lambda/latest/dg/invocation-async-error-handling)."""
BACK_OFF_S: Final = (1.0, 300.0)
"""First and largest interval between tries of a throttled event; it doubles (the same page)."""
JITTER: Final = 0.5
"""Share of such an interval that is drawn: AWS does not say how it spreads tries. Without any, all events of a burst
would come back at the same moment, again and again."""
ENDS: Final = ("delivered", "destination", "dead_letter", "dropped")
"""What an event comes to."""
KIND: Final = "event"
"""Of what the journal keeps."""
TRIES: Final = ("accepted", "retried", "throttled", "failed", "expired", "undeliverable")
"""What else is counted: events, tries after a failure, tries refused, tries failed, events too old, records lost."""


@dataclass(slots=True, eq=False)
class Lane:
    """Events of one function ARN, with or without a qualifier: what is configured may differ."""

    spec: FunctionSpec
    counts: Counter[str]
    """Of the function: its versions share them."""
    later: "set[Event]" = field(default_factory=set)
    """Waiting to be tried again."""
    gone: bool = False


@dataclass(eq=False, slots=True, kw_only=True)
class Event(Job):
    """An event on its way; the same one through all its tries. As small as can be: 200,000 of them may wait."""

    lane: Lane
    tries: int = 0
    """Invocations begun, as far as they are known to have ended."""
    throttles: int = 0
    """In a row."""
    timer: Timer | None = None
    """Of the next try."""


class EventQueue:
    """Follows events to their end; what becomes of each is counted."""

    def __init__(
        self,
        submit: Callable[[FunctionSpec, Job], None],
        clock: ScaledClock,
        seed: int = 0,
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal or NoJournal()
        self._closing = False
        self.counts_by_function: dict[str, Counter[str]] = {}
        self.send: Send = _nowhere
        self.resolve: Resolve = lambda _: None
        self._submit, self._clock = submit, clock
        self._random = Random(f"back-off {seed}")  # noqa: S311 - no secret
        self._lanes: dict[str, Lane] = {}
        self._sending: set[asyncio.Task[None]] = set()
        # Bound once, not once per event.
        self._on_end, self._on_due = self._finish, self._again

    @property
    def counts(self) -> Counter[str]:
        """Of all functions together."""
        total = no_counts()
        for counts in self.counts_by_function.values():
            total.update(counts)
        return total

    def accept(self, spec: FunctionSpec, request_id: str, payload: bytes, now_ns: int, delay_ms: float = 0.0) -> None:
        """Take one event, which a modelled delay has held back for `delay_ms`; the function's queue keeps the order."""
        event = self._event(spec, request_id, payload, now_ns, delay_ms)
        document = {"arn": spec.arn, "accepted_ns": now_ns}
        self._journal.save((KIND, request_id), lambda: document, partial(self._take_back, event), payload)
        self._journal.when_kept(partial(self._hold_back if delay_ms else self._offer, event))

    def resume(self, kept: Iterable[Entry]) -> None:
        """Go on with events that an earlier process accepted; those of functions that are gone are dropped."""
        for entry in sorted(kept, key=lambda e: int(e.document["accepted_ns"])):
            spec = self.resolve(entry.document["arn"])
            if spec is None:
                self._journal.remove(entry.name, _nothing)
                continue
            event = self._event(spec, entry.name[1], bytes_of(entry.body), entry.document["accepted_ns"], 0.0)
            event.expires_s -= (time.time_ns() - event.queued_ns) / 1e9
            self._offer(event)

    def _event(self, spec: FunctionSpec, request_id: str, payload: bytes, now_ns: int, delay_ms: float) -> Event:
        lane = self._lane(spec)
        lane.counts["accepted"] += 1
        expires_s = self._clock.now_s() + spec.max_event_age_s
        return Event(
            request_id, payload, "event", now_ns, self._on_end, arn=spec.arn, expires_s=expires_s,
            modelled_delay_ms=delay_ms, lane=lane,
        )  # fmt: skip

    def _hold_back(self, event: Event) -> None:
        """Offer it when its modelled delay is over, which is a client's time and not the service's minutes."""
        asyncio.get_running_loop().call_later(event.modelled_delay_ms / 1000, self._offer_late, event)

    def _offer_late(self, event: Event) -> None:
        if event.lane.gone:
            event.lane.counts["dropped"] += 1
            self._ended(event)
        else:
            self._offer(event)

    def _take_back(self, event: Event) -> None:
        """It could not be written down, so it was not accepted."""
        event.lane.counts["accepted"] -= 1

    def _ended(self, event: Event) -> None:
        """It need not be delivered again; what a server that ends has not delivered, the next one does."""
        if not self._closing:
            self._journal.remove((KIND, event.request_id), _nothing)

    def forget(self, name: str, version: str | None = None) -> None:
        """A function or one version of it is deleted: what waited to be tried again is dropped."""
        of_function = [(arn, lane.spec) for arn, lane in self._lanes.items() if lane.spec.name == name]
        for lane in [self._lanes.pop(arn) for arn, spec in of_function if version in {None, spec.version}]:
            lane.gone = True
            for event in lane.later:
                if event.timer is not None:
                    event.timer.cancel()
                self._ended(event)
            lane.counts["dropped"] += len(lane.later)
            lane.later.clear()

    async def close(self) -> None:
        """Drop all that waits to be tried again; letters under way are waited for."""
        self._closing = True
        for name in {lane.spec.name for lane in self._lanes.values()}:
            self.forget(name)
        await asyncio.gather(*self._sending)

    def _lane(self, spec: FunctionSpec) -> Lane:
        lane = self._lanes.get(spec.arn)
        if lane is None:
            counts = self.counts_by_function.setdefault(spec.name, no_counts())
            lane = self._lanes[spec.arn] = Lane(spec, counts)
        lane.spec = spec
        return lane

    def _renew(self, lane: Lane) -> FunctionSpec:
        """What the lane's ARN stands for now: a function may have been changed while events waited."""
        lane.spec = self.resolve(lane.spec.arn) or lane.spec
        return lane.spec

    def _offer(self, event: Event) -> None:
        """Have it run, or back off where Lambda's limits say so."""
        lane = event.lane
        try:
            self._submit(lane.spec, event)
        except ThrottledError as error:
            self._back_off(event, error)

    def _back_off(self, event: Event, error: ThrottledError) -> None:
        event.lane.counts["throttled"] += 1
        if error.hopeless:
            self._give_up(event, "ZeroReservedConcurrency", None)
            return
        first_s, most_s = BACK_OFF_S
        interval_s = min(most_s, first_s * 2 ** min(event.throttles, 16))
        event.throttles += 1
        self._later(event, interval_s * (1 - JITTER * self._random.random()))

    def _later(self, event: Event, delay_s: float) -> None:
        """Try again after a delay, or give up when the event's time is over before."""
        left_s = event.expires_s - self._clock.now_s()
        event.timer = self._clock.call_later(max(0.0, min(delay_s, left_s)), self._on_due, event)
        event.lane.later.add(event)

    def _again(self, event: Event) -> None:
        event.lane.later.remove(event)
        event.timer = None
        if event.expires_s <= self._clock.now_s():
            self._give_up(event, "EventAgeExceeded", None)
            return
        if not event.throttles:
            event.retries += 1
            event.lane.counts["retried"] += 1
        self._renew(event.lane)
        self._offer(event)

    def _finish(self, job: Job, outcome: Outcome | BenchmarkError | ThrottledError) -> None:
        assert isinstance(job, Event)  # noqa: S101 - the scheduler gives back what it was given
        lane = job.lane
        if lane.gone:
            lane.counts["dropped"] += 1
            self._ended(job)
        elif isinstance(outcome, ThrottledError):
            self._back_off(job, outcome)
        elif isinstance(outcome, EventExpiredError):
            self._give_up(job, "EventAgeExceeded", None)
        elif isinstance(outcome, Outcome) and outcome.function_error is None:
            self._succeed(job, outcome)
        else:
            self._fail(job, outcome if isinstance(outcome, Outcome) else None)

    def _succeed(self, event: Event, outcome: Outcome) -> None:
        event.lane.counts["delivered"] += 1
        target = event.lane.spec.on_success_arn
        if target:
            self._spawn(self._report_success(event, target, outcome))
        else:
            self._ended(event)

    def _fail(self, event: Event, outcome: Outcome | None) -> None:
        """The function failed, or could not be run at all, which is taken for its failure."""
        lane = event.lane
        lane.counts["failed"] += 1
        event.tries += 1
        event.throttles = 0
        if event.retries >= min(self._renew(lane).max_retry_attempts, len(RETRY_DELAYS_S)):
            self._give_up(event, "RetriesExhausted", outcome)
        else:
            self._later(event, RETRY_DELAYS_S[event.retries])

    # ---- how it ends

    def _give_up(self, event: Event, condition: Condition, outcome: Outcome | None) -> None:
        lane = event.lane
        if condition == "EventAgeExceeded":
            lane.counts["expired"] += 1
        if lane.spec.on_failure_arn or lane.spec.dead_letter_arn:
            self._spawn(self._hand_over(event, Ending(condition, event.tries, outcome)))
        else:
            lane.counts["dropped"] += 1
            self._ended(event)

    async def _report_success(self, event: Event, target: str, outcome: Outcome) -> None:
        await self._deliver(event, self._record(event, target, Ending("Success", event.tries + 1, outcome)))
        self._ended(event)

    async def _hand_over(self, event: Event, ending: Ending) -> None:
        """A record to the destination and the event to the dead-letter queue, where there are such."""
        spec = event.lane.spec
        taken = []
        if spec.on_failure_arn and await self._deliver(event, self._record(event, spec.on_failure_arn, ending)):
            taken.append("destination")
        if spec.dead_letter_arn:
            attributes = dead_letter_attributes(event.request_id, ending)
            if await self._deliver(event, Letter(spec.dead_letter_arn, event.payload, spec.name, attributes)):
                taken.append("dead_letter")
        event.lane.counts[taken[0] if taken else "dropped"] += 1
        self._ended(event)

    def _record(self, event: Event, target: str, ending: Ending) -> Letter:
        spec = event.lane.spec
        record = invocation_record(spec, event.arn, event.request_id, event.payload, ending, time.time_ns())
        return Letter(target, record, spec.name)

    async def _deliver(self, event: Event, letter: Letter) -> bool:
        """Whether the target took it; Lambda counts what it did not as DestinationDeliveryFailures, and goes on."""
        reason = await self.send(letter)
        if reason is not None:
            event.lane.counts["undeliverable"] += 1
            sys.stderr.write(f"note: function {letter.sender}: event {event.request_id}: {reason}\n")
        return reason is None

    def _spawn(self, work: "Awaitable[None]") -> None:
        task = asyncio.ensure_future(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


async def _nowhere(letter: Letter) -> str | None:
    return f"{letter.target_arn}: this event queue has no way to it"


def _nothing() -> None:
    """An event whose end could not be written down is delivered again by the next process: at least once."""


def no_counts() -> Counter[str]:
    """All that is counted, at zero."""
    return Counter(dict.fromkeys((*TRIES, *ENDS), 0))
