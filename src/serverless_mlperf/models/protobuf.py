"""Protocol-buffer wire format, written by hand.

Caffe, TensorFlow and ONNX files are all protocol buffers; we write a dozen messages of theirs, whose field numbers
never change, so neither their libraries nor a compiler is needed. Encoding:
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterable
import struct

_VARINT, _BYTES, _FIXED32 = 0, 2, 5


def varint(value: int) -> bytes:
    """A bare variable-length integer; negative ones take ten bytes, as in int32 and int64."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(field: int, value: int) -> bytes:
    """An integer, boolean or enumeration."""
    return varint(field << 3 | _VARINT) + varint(int(value))


def float32(field: int, value: float) -> bytes:
    """A 32-bit float."""
    return varint(field << 3 | _FIXED32) + struct.pack("<f", value)


def block(field: int, content: bytes | str) -> bytes:
    """A string, bytes, an embedded message or a packed repeated field."""
    raw = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | _BYTES) + varint(len(raw)) + raw


def packed_integers(field: int, values: Iterable[int]) -> bytes:
    """A packed repeated integer."""
    return block(field, b"".join(varint(value) for value in values))
