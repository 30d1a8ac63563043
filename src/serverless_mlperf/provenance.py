"""Where a result comes from: code, host, and digests of all that was built; and whether that is still the same."""

from collections.abc import Iterator, Mapping
import hashlib
from pathlib import Path
from typing import Any, Final

from serverless_mlperf import __version__
from serverless_mlperf.errors import InputError
from serverless_mlperf.host import describe_host

_SOURCES: Final = Path(__file__).parent
_ROOTS: Final = (_SOURCES, _SOURCES.with_name("serverless_mlperf_sut"))
_HARMLESS: Final = frozenset({"host.revision", "host.memory_mib", "weights.source"})
"""May differ: the digest of the sources, the preflight and the digest of the weights say what matters of these."""


def describe_client() -> dict[str, Any]:
    """Version and digest of the code, and the host it runs on."""
    return {"version": __version__, "code_sha256": _code_digest(), "host": describe_host()}


def check_unchanged(then: Mapping[str, Any], now: Mapping[str, Any], where: Path) -> None:
    """Raise InputError naming the first thing in `now` that is not what it was when the experiment began.

    Runs before and after such a change would not be comparable, whatever it is. Nested keys are joined by dots.
    """
    before = dict(flattened({name: then.get(name) for name in now}))
    after = dict(flattened(now))
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new and name not in _HARMLESS:
            raise InputError(
                f"{where}: {name} was {_shown(old)} and is {_shown(new)}: runs would not be comparable; "
                "put it back, or begin a new experiment without --resume"
            )


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested keys joined by dots, with their values."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(value: object) -> str:
    return "missing" if value is None else str(value)


def _code_digest() -> str:
    """SHA-256 over the sources and data of both packages, by name; a commit alone does not tell of local changes."""
    digest = hashlib.sha256()
    for root in _ROOTS:
        for path in sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            content = path.read_bytes()
            digest.update(f"{root.name}/{path.relative_to(root).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
