"""Bodies in HTTP's chunked transfer coding, decoded as they come (RFC 9112, 7.1)."""

from serverless_mlperf.platforms.local.gateway.errors import BadRequestError

MAX_LINE_BYTES = 16 << 10


class ChunkedBody:
    """One chunked body; trailers are read and dropped: no handler asks for any."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._content = bytearray()
        self._size: int | None = None

    @property
    def received(self) -> int:
        """Bytes of the body so far."""
        return len(self._content)

    def take(self, buffer: bytearray) -> bytes | None:
        """Move what has come from the buffer to the body; the body once it is whole."""
        while True:
            if self._size is None:
                line = take_line(buffer)
                if line is None:
                    return None
                self._size = self._read_size(line)
            if self._size == 0:
                return self._end(buffer)
            if len(buffer) < self._size + 2:
                return None
            self._move(buffer)

    def _read_size(self, line: bytes) -> int:
        digits = line.split(b";")[0].strip()
        try:
            size = int(digits, 16) if digits.isalnum() else -1
        except ValueError:
            size = -1
        if size < 0:
            raise BadRequestError(400, "damaged chunk: its size is no hexadecimal number")
        if len(self._content) + size > self._limit_bytes:
            raise BadRequestError(413, f"body larger than {self._limit_bytes} bytes")
        return size

    def _move(self, buffer: bytearray) -> None:
        size = self._size or 0
        if buffer[size : size + 2] != b"\r\n":
            raise BadRequestError(400, "damaged chunk: no line end behind its data")
        self._content += memoryview(buffer)[:size]
        del buffer[: size + 2]
        self._size = None

    def _end(self, buffer: bytearray) -> bytes | None:
        """Read lines up to the empty one."""
        while (line := take_line(buffer)) is not None:
            if not line:
                return bytes(self._content)
        return None


def take_line(buffer: bytearray) -> bytes | None:
    """The next line without its end, taken from the buffer; None before it is whole."""
    end = buffer.find(b"\r\n", 0, MAX_LINE_BYTES)
    if end < 0:
        if len(buffer) > MAX_LINE_BYTES:
            raise BadRequestError(400, "damaged chunk: a line without end")
        return None
    line = bytes(memoryview(buffer)[:end])
    del buffer[: end + 2]
    return line
