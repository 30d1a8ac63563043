"""The transports by name, each imported when it is used."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.base import Target
from serverless_mlperf.transports.base import Transport
from serverless_mlperf.transports.sigv4 import Credentials

TRANSPORTS: Final[Mapping[str, str]] = {
    "s3": "serverless_mlperf.transports.s3:make",
    "fake": "serverless_mlperf.transports.fake:make",
}
"""Name -> `module:function` that makes one."""


def make_transport(
    name: str,
    target: Target,
    samples: Sequence[str],
    run: str,
    credentials: Credentials | None = None,
    options: Mapping[str, Any] | None = None,
) -> Transport:
    """Make the transport `name`; `options` are the fields of its settings."""
    if name not in TRANSPORTS:
        raise InputError(f"transport {name!r} is unknown; known are {', '.join(TRANSPORTS)}")
    module, _, function = TRANSPORTS[name].partition(":")
    made: Transport = getattr(import_module(module), function)(target, samples, run, credentials, options or {})
    return made
