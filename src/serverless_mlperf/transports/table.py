"""The transports by name, each imported when it is used."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.base import Target
from serverless_mlperf.transports.base import RunContext, Transport
from serverless_mlperf.transports.sigv4 import Identity

TRANSPORTS: Final[Mapping[str, str]] = {
    "s3": "serverless_mlperf.transports.s3",
    "invoke": "serverless_mlperf.transports.invoke",
    "fake": "serverless_mlperf.transports.fake",
}
"""Name -> module with `make(context, settings)` and `SETTINGS`, a dataclass with defaults."""

SYNCHRONOUS: Final = frozenset({"invoke"})
"""Transports whose `send` lasts until the answer: no more of them at once than the target has environments."""


def make_transport(
    name: str,
    target: Target,
    samples: Sequence[str],
    run: str,
    identity: Identity | None = None,
    options: Mapping[str, Any] | None = None,
    sample_paths: Sequence[Path] | None = None,
    deadline_s: float = 60.0,
) -> Transport:
    """Make the transport `name`; `options` are fields of its settings, the rest is RunContext's. Raises InputError."""
    if name not in TRANSPORTS:
        raise InputError(f"transport {name!r} is unknown; known are {', '.join(TRANSPORTS)}")
    module = import_module(TRANSPORTS[name])
    known, options = asdict(module.SETTINGS()), options or {}
    if unknown := sorted(options.keys() - known.keys()):
        raise InputError(f"transport {name}: option {unknown[0]!r} is unknown; known are {', '.join(known)}")
    context = RunContext(target, samples, run, identity, sample_paths, deadline_s)
    made: Transport = module.make(context, module.SETTINGS(**options))
    return made


def effective_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything a transport is set to: its defaults, and what was given instead; nothing is checked."""
    module = TRANSPORTS.get(name)
    defaults = asdict(import_module(module).SETTINGS()) if module else {}
    return {**defaults, **options}
