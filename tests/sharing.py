"""Tests of two pytest processes beside each other on one host, and tests alone on it."""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
from pathlib import Path
from typing import Final

GATE: Final = Path(__file__)
HOST: Final = Path(__file__).with_name("conftest.py")
"""What is locked: files of this checkout, so that nothing is left behind."""


@contextmanager
def host(*, alone: bool) -> Iterator[None]:
    """Have the host beside others who have it so, or alone: wait until they are done, and let nobody in meanwhile."""
    with GATE.open() as gate, HOST.open() as inside:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if not alone:  # else the gate stays closed while the others finish: they would never all be away at once
            fcntl.flock(gate, fcntl.LOCK_UN)
        fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            for file in (inside, gate):
                fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a forked child has inherited it
