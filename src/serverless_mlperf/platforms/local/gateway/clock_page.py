"""`/_platform/clock`: how fast Lambda's minutes pass."""

import json
from typing import Any, Final

from serverless_mlperf.platforms.local.executor_protocol import Executor
from serverless_mlperf.platforms.local.gateway.errors import not_implemented
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.json_text import read_json

CLOCK: Final = "/_platform/clock"
JSON: Final = {"content-type": "application/json"}
_KEYS: Final = {"speed", "advance_s"}


def clock_page(executor: Executor, request: Request) -> Response:
    """GET tells how the clock stands; POST `{"speed": N}` or `{"advance_s": N}` changes it."""
    if request.method == "GET":
        return _answer(executor.set_clock())
    if request.method != "POST":
        return Response(501, not_implemented(f"{request.method} {request.path}").message.encode())
    try:
        return _answer(executor.set_clock(**_change(request.body)))
    except ValueError as error:
        return Response(400, f"{request.path}: {error}".encode())


def _answer(state: dict[str, Any]) -> Response:
    return Response(200, json.dumps(state).encode() + b"\n", JSON)


def _change(body: bytes) -> dict[str, float]:
    """What a request changes; raises ValueError."""
    try:
        values: Any = read_json(body)
    except ValueError:
        values = None
    if not isinstance(values, dict) or not values or values.keys() - _KEYS:
        raise ValueError('the body must be {"speed": N}, {"advance_s": N} or both')
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} must be a number, not {json.dumps(value)[:40]}")
    return values
