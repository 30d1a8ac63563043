"""JSON that comes from outside: whatever is wrong with it is one kind of error."""

import json
import math
from typing import Any, NoReturn


def read_json(text: bytes) -> Any:
    """The value of a JSON text.

    Raises ValueError for what is no JSON (RFC 8259: no NaN, no infinity), for numbers that are none of ours, for
    nesting deeper than Python reads, and for halves of surrogate pairs, which no UTF-8 can carry on.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if b"\\ud" in text or b"\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value
