"""What the parent process says to a run: lines on a pipe, read without a buffer that could keep one back."""

import os
from typing import Final

_CHUNK_BYTES: Final = 1 << 16


class ParentPipe:
    """Lines from a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def fileno(self) -> int:
        """For an event loop to watch."""
        return self._descriptor

    def read(self) -> bool:
        """Take in what is there, waiting if there is nothing; False when the other end is closed."""
        chunk = os.read(self._descriptor, _CHUNK_BYTES)
        self._rest += chunk
        return bool(chunk)

    def line(self) -> bytes | None:
        """The next whole line; None while there is none."""
        line, end, rest = self._rest.partition(b"\n")
        if not end:
            return None
        self._rest = rest
        return line

    def first_line(self) -> bytes:
        """Wait for a line; what there is, if the pipe ends before."""
        while (line := self.line()) is None:
            if not self.read():
                return self._rest
        return line
