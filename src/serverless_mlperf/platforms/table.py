"""The platforms by name, each imported when it is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.provider import Provider, Traits, Wishes


@dataclass(frozen=True, slots=True)
class Row:
    """One platform."""

    provider: str
    """`module:function`, which makes its Provider from Wishes."""
    traits: Traits


PLATFORMS: Final[Mapping[str, Row]] = {
    "local": Row("serverless_mlperf.platforms.local.provider:make", Traits(shares_host=True, bills=False)),
    "aws": Row("serverless_mlperf.platforms.aws.provider:make", Traits(shares_host=False, bills=True)),
}


def traits_of(name: str) -> Traits:
    """What decides how its runs are judged; raises InputError."""
    return _row(name).traits


def make_provider(name: str, wishes: Wishes) -> Provider:
    """The platform of that name, nothing of which stands yet; raises InputError."""
    module, _, function = _row(name).provider.partition(":")
    made: Provider = getattr(import_module(module), function)(wishes)
    return made


def _row(name: str) -> Row:
    if name not in PLATFORMS:
        raise InputError(f"platform {name!r} is unknown; known are {', '.join(PLATFORMS)}")
    return PLATFORMS[name]
