"""Tags of functions."""

from typing import Any, Final
from urllib.parse import parse_qsl

from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.lambda_call import Call, answer
from serverless_mlperf.platforms.local.gateway.lambda_errors import check_mapping, check_text, invalid, required
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_function
from serverless_mlperf.platforms.local.gateway.lambda_state import Function, LambdaState

MAX_TAGS: Final = 50
"""Of one function (lambda/latest/dg/configuration-tags)."""


class TagOperations:
    """Each method serves one operation."""

    def __init__(self, state: LambdaState) -> None:
        self._state = state

    async def list(self, call: Call) -> Response:
        """ListTags."""
        return answer({"Tags": self._tagged(call).tags})

    async def add(self, call: Call) -> Response:
        """TagResource."""
        function = self._tagged(call)
        function.tags = read_tags({**function.tags, **check_mapping(required(call.values, "Tags"), "tags")})
        self._state.changed("function", function.name)
        return Response(204)

    async def remove(self, call: Call) -> Response:
        """UntagResource: the keys are in the query, once each."""
        function = self._tagged(call)
        names = [v for k, v in parse_qsl(call.request.target.partition("?")[2]) if k == "tagKeys"]
        function.tags = {name: value for name, value in function.tags.items() if name not in names}
        self._state.changed("function", function.name)
        return Response(204)

    def _tagged(self, call: Call) -> Function:
        if call.ref.qualifier is not None:
            raise invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
        return find_function(self._state, call.ref)


def read_tags(given: object) -> dict[str, str]:
    """Checked tags."""
    tags: dict[str, Any] = check_mapping(given, "tags")
    for name, value in tags.items():
        check_text(name, "tags.key", "", 128, 1)
        check_text(value, "tags.value", "", 256)
        if name.lower().startswith("aws:"):
            raise invalid(f"Tag {name}: names that begin with aws: are AWS's own")
    if len(tags) > MAX_TAGS:
        raise invalid(f"Number of tags exceeds resource tag limit of {MAX_TAGS}.")
    return dict(tags)
