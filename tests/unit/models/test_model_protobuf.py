"""The wire format, against the examples of protobuf.dev/programming-guides/encoding."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from serverless_mlperf.models.protobuf import block, float32, integer, packed_integers, varint


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (integer(1, 150), "089601"),
        (block(2, "testing"), "120774657374696e67"),
        (block(3, integer(1, 150)), "1a03089601"),
        (packed_integers(6, [3, 270, 86942]), "3206038e029ea705"),
        (integer(1, -2), "08feffffffffffffffff01"),
        (float32(4, 6.0), "250000c040"),
        (block(16, b""), "820100"),
    ],
)
def test_bytes_are_those_of_the_specification(encoded: bytes, expected: str) -> None:
    """Integers, strings, messages, packed fields, floats and two-byte tags."""
    assert encoded.hex() == expected


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_varints_read_back(value: int) -> None:
    """Seven bits per byte, lowest first, the top bit set on all but the last."""
    encoded = varint(value)
    assert sum((byte & 0x7F) << 7 * i for i, byte in enumerate(encoded)) == value
    assert [byte >> 7 for byte in encoded] == [1] * (len(encoded) - 1) + [0]
