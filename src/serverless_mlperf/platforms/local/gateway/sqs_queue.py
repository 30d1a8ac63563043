"""One standard queue: messages ready, delayed and in flight, and who waits for them."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
import time
from typing import Any, Final
import uuid

from serverless_mlperf.platforms.local.gateway.sqs_message import Attributes, Message
from serverless_mlperf.platforms.local.gateway.sqs_settings import Redrive
from serverless_mlperf.platforms.local.journal.base import Journal, NoJournal
from serverless_mlperf.platforms.local.model import ACCOUNT_ID, REGION

_STALE_KEPT: Final = 256
"""Entries of deleted messages that a queue keeps before it looks whether they are most of what it has."""


class Queue:
    """Messages in the order of their arrival, as far as a standard queue keeps one.

    Its times are real ones, whatever the speed of the platform's clock: they are promises to clients.
    """

    def __init__(
        self,
        name: str,
        attributes: dict[str, str],
        find: "Callable[[str], Queue | None]",
        tags: dict[str, str],
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal or NoJournal()
        self.name, self.attributes, self.tags = name, attributes, tags
        self.created_s = self.modified_s = int(time.time())
        self.ready: deque[Message] = deque()
        self.in_flight: dict[str, Message] = {}
        """By receipt handle."""
        self.redrive: Redrive | None = None
        self.delayed_count = 0
        """Messages that were sent with a delay and are not visible yet."""
        self._find = find
        """The queue of an ARN."""
        self._returned: dict[str, Message] = {}
        """Ready messages that were received before, by their last receipt handle: it may still delete them."""
        self._stale = 0
        self._later: list[tuple[float, int, str, Message]] = []
        """Of what is delayed or in flight: when it becomes visible, and under which receipt."""
        self._order = count()
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def arn(self) -> str:
        """The queue's ARN."""
        return f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{self.name}"

    def send(
        self,
        body: str,
        attributes: Attributes | None = None,
        system_attributes: Attributes | None = None,
        delay_s: float = 0.0,
    ) -> Message:
        """Add a message and wake one receiver."""
        now_ms = time.time_ns() // 1_000_000
        message = Message(str(uuid.uuid4()), body, now_ms, attributes or {}, system_attributes or {}, delay_s=delay_s)
        self._keep(message)
        self._take(message, delay_s)
        return message

    def load(self, message: Message) -> None:
        """Take a message that an earlier process kept."""
        self._take(message, message.sent_ms / 1000 + message.delay_s - time.time() if message.delay_s else 0.0)

    def messages(self) -> list[Message]:
        """All messages, in whatever state."""
        delayed = [entry[3] for entry in self._later if not entry[2] and self._holds(entry[0], *entry[2:])]
        return [*self.ready, *self.in_flight.values(), *delayed]

    def as_document(self) -> dict[str, Any]:
        """As it is kept, without its name and messages."""
        names = ("attributes", "tags", "created_s", "modified_s")
        return {name: getattr(self, name) for name in names}

    def add(self, message: Message) -> None:
        """Take a message that exists: a new one, or the dead letter of another queue."""
        self.ready.append(message)
        self._wake()

    def receive(self, limit: int, visibility_s: float) -> list[Message]:
        """Take up to `limit` messages; they come back unless deleted within the visibility timeout.

        One that was received too often becomes a dead letter instead, where the queue has a RedrivePolicy.
        """
        self.refresh()
        taken: list[Message] = []
        while self.ready and len(taken) < limit:
            message = self.ready.popleft()
            self._returned.pop(message.receipt, None)
            if not self._bury(message):
                taken.append(message)
        for message in taken:
            message.receipt = uuid.uuid4().hex
            message.received += 1
            message.first_received_ms = message.first_received_ms or time.time_ns() // 1_000_000
            self.in_flight[message.receipt] = message
            self._hide(message, visibility_s)
        return taken

    def delete(self, receipt: str) -> None:
        """Remove what was last received under a handle, also when its visibility timeout has passed."""
        self.refresh()
        if message := self.in_flight.pop(receipt, None):
            self._leave_stale()
        elif message := self._returned.pop(receipt, None):
            self.ready.remove(message)
        if message is not None:
            self._forget(message, partial(self._bring_back, message))

    def change_visibility(self, receipt: str, visibility_s: float) -> bool:
        """Hide a message in flight for so long from now; whether it is in flight."""
        self.refresh()
        message = self.in_flight.get(receipt)
        if message is None:
            return False
        self._leave_stale()
        self._hide(message, visibility_s)
        self.refresh()
        return True

    def purge(self) -> None:
        """Remove all."""
        for message in self.messages():
            self._forget(message, partial(self._bring_back, message))
        self.ready.clear()
        self.in_flight.clear()
        self._returned.clear()
        self._later.clear()
        self.delayed_count = self._stale = 0

    def refresh(self) -> None:
        """Make visible what is due, and let go what is older than the queue keeps."""
        now_s = time.monotonic()
        while self._later and self._later[0][0] <= now_s:
            at_s, _, receipt, message = heappop(self._later)
            if not self._holds(at_s, receipt, message):
                self._stale -= 1
                continue
            if receipt:
                del self.in_flight[receipt]
                self._returned[receipt] = message
            else:
                self.delayed_count -= 1
            self.add(message)
        oldest_ms = time.time_ns() // 1_000_000 - 1000 * int(self.attributes["MessageRetentionPeriod"])
        while self.ready and self.ready[0].sent_ms < oldest_ms:
            expired = self.ready.popleft()
            self._returned.pop(expired.receipt, None)
            self._forget(expired, _nothing)

    async def wait(self, wait_s: float) -> None:
        """Return when a message may be there, or after `wait_s`."""
        self.refresh()
        if self.ready:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        back_s = self._later[0][0] - time.monotonic() if self._later else wait_s
        try:
            async with asyncio.timeout(min(wait_s, max(0.0, back_s))):
                await waiter
        except TimeoutError:
            return
        finally:
            # A receiver that has gone away must not swallow a wake-up.
            if waiter.done() and not waiter.cancelled() and self.ready:
                self._wake()
            elif waiter in self._waiters:
                self._waiters.remove(waiter)

    def _hide(self, message: Message, for_s: float) -> None:
        message.visible_at_s = time.monotonic() + for_s
        heappush(self._later, (message.visible_at_s, next(self._order), message.receipt, message))

    def _holds(self, at_s: float, receipt: str, message: Message) -> bool:
        """Whether an entry of `_later` still means something: not of one deleted or hidden for another time."""
        return message.visible_at_s == at_s and (not receipt or self.in_flight.get(receipt) is message)

    def _leave_stale(self) -> None:
        """An entry of `_later` means nothing any more; when most are so, they go."""
        self._stale += 1
        if self._stale > _STALE_KEPT and self._stale * 2 > len(self._later):
            self._later = [entry for entry in self._later if self._holds(entry[0], *entry[2:])]
            heapify(self._later)
            self._stale = 0

    def _bury(self, message: Message) -> bool:
        """Make it a dead letter if it was received too often; whether it is one now."""
        if self.redrive is None or message.received < self.redrive.max_receives:
            return False
        target = self._find(self.redrive.target_arn)
        if target is None:
            return False  # the queue for dead letters is gone: as on AWS the message stays
        target.bury(message, self)
        self._forget(message, partial(self._bring_back, message))
        return True

    def bury(self, message: Message, source: "Queue") -> None:
        """Take the dead letter of another queue."""
        message.dead_from, message.receipt, message.delay_s = source.arn, "", 0.0
        self._keep(message)
        self.add(message)

    def _take(self, message: Message, delay_s: float) -> None:
        if delay_s > 0:
            self.delayed_count += 1
            self._hide(message, delay_s)
        else:
            self.add(message)

    # What is kept

    def _keep(self, message: Message) -> None:
        name = ("message", self.name, message.id)
        self._journal.save(name, message.as_document, partial(self._take_back, message))

    def _forget(self, message: Message, undo: Callable[[], object]) -> None:
        self._journal.remove(("message", self.name, message.id), undo)

    def _take_back(self, message: Message) -> None:
        """Undo its sending; somebody may have received it since, and has not been answered."""
        if self.in_flight.pop(message.receipt, None) or message not in self.ready:
            self.delayed_count -= not message.receipt
            message.visible_at_s = -1.0
            self._leave_stale()
            return
        self.ready.remove(message)
        self._returned.pop(message.receipt, None)

    def _bring_back(self, message: Message) -> None:
        """Undo its removal; its last receipt handle can delete it."""
        if message.receipt:
            self._returned[message.receipt] = message
        self.add(message)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _nothing() -> None:
    """What has expired expires again."""
