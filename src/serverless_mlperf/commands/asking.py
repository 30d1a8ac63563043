"""Nothing that costs is made, and nothing is removed, before somebody has said yes."""

import sys

import typer

from serverless_mlperf.errors import InputError


def check_can_ask(yes: bool) -> None:
    """Raise InputError when nobody is there to be asked: told before anything is built."""
    if not yes and not sys.stdin.isatty():
        raise InputError(
            "nobody can be asked here, as standard input is no terminal: add --yes, or --plan to look only"
        )


def is_agreed(question: str, yes: bool) -> bool:
    """Whether to go on."""
    return yes or typer.confirm(question)
