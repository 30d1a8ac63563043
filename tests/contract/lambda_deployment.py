"""Small functions on the tests' server: packages, and creation up to the moment when they can serve."""

import io
import json
import sys
from typing import Any
import zipfile

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
COMMON: dict[str, Any] = {"Runtime": RUNTIME, "Role": "arn:aws:iam::000000000000:role/r", "Handler": "app.handler"}
FAST = {"Delay": 0.05, "MaxAttempts": 2400}
"""Of a waiter."""


def zipped(source: str, name: str = "app.py") -> bytes:
    """A package of one file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, source)
    return content.getvalue()


def answering(word: str) -> bytes:
    """A package whose handler tells a word, its version and the ARN it was invoked by."""
    return zipped(
        f"def handler(event, context):\n    return [{word!r}, context.function_version, context.invoked_function_arn]\n"
    )


def deploy(functions: Any, name: str, package: bytes, **settings: Any) -> Any:
    """Create a function and wait until it can serve."""
    made = functions.create_function(FunctionName=name, Code={"ZipFile": package}, **{**COMMON, **settings})
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=FAST)
    return made


def settle(functions: Any, name: str) -> None:
    """Wait for the end of an update."""
    functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=FAST)


def invoke(functions: Any, name: str, event: Any = None, **parameters: Any) -> tuple[Any, str]:
    """What the function answered, and the version that did."""
    done = functions.invoke(FunctionName=name, Payload=json.dumps(event).encode(), **parameters)
    with done["Payload"] as body:
        return json.loads(body.read()), done["ExecutedVersion"]
