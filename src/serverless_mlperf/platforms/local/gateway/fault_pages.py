"""`/_platform/faults`: what is to go wrong on demand, set and shown."""

import json
from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.faults import FaultBoard, FaultSettings
from serverless_mlperf.platforms.local.gateway.http import Request, Response
from serverless_mlperf.platforms.local.json_text import read_json

FAULTS: Final = "/_platform/faults"
_JSON: Final = {"content-type": "application/json"}


def fault_page(board: FaultBoard, request: Request) -> Response:
    """Set (PUT, a JSON document), show (GET; `?kind=lose`: whom it has struck) or clear (DELETE); 400 in one line."""
    match request.method:
        case "GET":
            return _answer(board.subjects(request.query["kind"]) if "kind" in request.query else board.status())
        case "PUT":
            try:
                board.set(_settings(request.body))
            except InputError as error:
                return Response(400, str(error).encode("utf-8", "replace"))
            return _answer(board.status())
        case "DELETE":
            board.clear()
            return Response(204)
    return Response(405, b"GET, PUT or DELETE", {"allow": "GET, PUT, DELETE"})


def _settings(body: bytes) -> FaultSettings:
    try:
        document = read_json(body)
    except ValueError:
        document = None
    return FaultSettings.from_document(document)


def _answer(value: object) -> Response:
    return Response(200, json.dumps(value).encode(), _JSON)
