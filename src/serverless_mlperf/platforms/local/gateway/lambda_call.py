"""A request to Lambda's API, read; answers; pages of listings."""

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
import json
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.gateway.lambda_errors import check_number, invalid
from serverless_mlperf.platforms.local.gateway.lambda_names import FunctionRef
from serverless_mlperf.platforms.local.json_text import read_json

JSON: Final = {"content-type": "application/json"}
MAX_ITEMS: Final = 50
"""Rows of a page, also where more are asked for (lambda/latest/api/API_ListFunctions)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: about which function or layer, and its values."""

    request: Request
    ref: FunctionRef
    item: str
    """What the path names below the function: an alias, a statement, a version of a layer."""
    values: dict[str, Any]

    @property
    def query(self) -> dict[str, str]:
        """Query parameters."""
        return self.request.query


Operation = Callable[[Call], Awaitable[Response]]


def read_values(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; nothing is an empty one."""
    try:
        values = read_json(body or b"{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ApiError(400, "InvalidRequestContentException", "Could not parse request body into json.")
    return values


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(status, json.dumps(value).encode(), JSON)


def page(call: Call, name: str, rows: Sequence[dict[str, Any]], most: int = MAX_ITEMS) -> Response:
    """The part of a listing that Marker and MaxItems ask for."""
    wanted = call.query.get("MaxItems", str(most))
    limit = check_number(
        int(wanted) if wanted.isascii() and wanted.isdecimal() else wanted, "maxItems", range(1, 10_001)
    )
    start = _start(call.query.get("Marker", ""))
    end = start + min(limit, most)
    more = {"NextMarker": base64.b64encode(str(end).encode()).decode()} if end < len(rows) else {}
    return answer({name: list(rows[start:end]), **more})


def _start(marker: str) -> int:
    if not marker:
        return 0
    try:
        return int(base64.b64decode(marker, validate=True))
    except ValueError:
        raise invalid(f"Marker {marker!r} is none of this listing's") from None
