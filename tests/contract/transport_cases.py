"""What tests of transports share: an inbox for replies, and waiting with a deadline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from serverless_mlperf.transports.base import Reply, Transport

RUN = "run1"
SAMPLES = ("synthetic/0 a+b.jpg", "synthetic/1.jpg")
DEADLINE_S = 20
CLOSED = "http://127.0.0.1:1"


def image_files(folder: Path) -> list[Path]:
    """Files of SAMPLES; what is in them is not looked at on the way."""
    paths = [folder / f"{n}.jpg" for n in range(len(SAMPLES))]
    for path in paths:
        path.write_bytes(b"image " + path.name.encode())
    return paths


class Inbox:
    """Collects replies and waits for a number of them."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self._grown = asyncio.Event()

    def receive(self, reply: Reply) -> None:
        """The transport's callback."""
        self.replies.append(reply)
        self._grown.set()

    async def expect(self, count: int) -> list[Reply]:
        """Wait until so many have come."""
        await wait_until(lambda: len(self.replies) >= count)
        return self.replies


async def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(transport: Transport) -> AsyncIterator[Inbox]:
    """An open transport's inbox."""
    inbox = Inbox()
    await transport.open(inbox.receive)
    try:
        yield inbox
    finally:
        await transport.close()


def run(case: Callable[[], Awaitable[None]]) -> None:
    """Run one asynchronous case."""

    async def limited() -> None:
        async with asyncio.timeout(2 * DEADLINE_S):
            await case()

    asyncio.run(limited())
