"""Names, ARNs and qualifiers of functions and layers."""

from dataclasses import dataclass
from functools import lru_cache
import re
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.lambda_errors import check_text, invalid, not_found, unmet
from serverless_mlperf.platforms.local.model import ACCOUNT_ID, REGION

LATEST: Final = "$LATEST"
NAME: Final = "[a-zA-Z0-9-_]+"
MAX_NAME: Final = 64
VERSION: Final = r"[0-9]+"
ALIAS: Final = r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
_QUALIFIER: Final = r"[a-zA-Z0-9$_-]+"
_FUNCTION: Final = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((?P<region>[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}):)?"
    r"((?P<account>\d{12}):)?(function:)?(?P<name>[a-zA-Z0-9-_]+)(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)
_LAYER: Final = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:(?P<name>[a-zA-Z0-9-_]+)"
    r"(:(?P<version>[0-9]+))?"
)


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """What a request is about: a function, and which of its versions or aliases."""

    name: str
    qualifier: str | None = None

    @property
    def arn(self) -> str:
        """ARN as the request names it."""
        return function_arn(self.name, self.qualifier)


def function_arn(name: str, qualifier: str | None = None) -> str:
    """ARN of a function, or of a version or alias."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn


def layer_arn(name: str, version: int | None = None) -> str:
    """ARN of a layer or of one version."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:layer:{name}"
    return arn if version is None else f"{arn}:{version}"


@lru_cache(maxsize=4096)
def function_ref(text: str, qualifier: str | None = None) -> FunctionRef:
    """Read a name, partial or full ARN, with the qualifier in it or beside it."""
    found = re.fullmatch(_FUNCTION, text)
    if found is None:
        raise unmet(text, "functionName", f"satisfy regular expression pattern: {_FUNCTION.replace('?P<', '?<')}")
    _check_place(found["region"], found["account"])
    if qualifier is not None:
        check_text(qualifier, "qualifier", _QUALIFIER, 128)
    if qualifier and found["qualifier"] and qualifier != found["qualifier"]:
        raise invalid("The derived qualifier from the function name does not match the specified qualifier.")
    return FunctionRef(found["name"], qualifier or found["qualifier"])


def layer_name(text: str) -> tuple[str, int | None]:
    """Name and version of a layer's name or ARN."""
    if not text.startswith("arn:"):
        return check_text(text, "layerName", NAME, 140, 1), None
    found = _LAYER.fullmatch(text)
    if found is None:
        raise unmet(text, "layerName", f"satisfy regular expression pattern: {_LAYER.pattern.replace('?P<', '?<')}")
    _check_place(found["region"], found["account"])
    return found["name"], int(found["version"]) if found["version"] else None


def _check_place(region: str | None, account: str | None) -> None:
    if region and region != REGION:
        raise not_found(f"Functions from '{region}' are not reachable in this region ('{REGION}')")
    if account and account != ACCOUNT_ID:
        raise ApiError(403, "AccessDeniedException", f"Account {account} is not this one ({ACCOUNT_ID})")
