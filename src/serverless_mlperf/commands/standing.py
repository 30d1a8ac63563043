"""Options of the commands for what stands on a platform, and which platforms have such a thing."""

from typing import Annotated, Final

import typer

from serverless_mlperf.errors import InputError

NOTHING_STANDS: Final = (
    "the local platform has nothing standing: it begins and ends with its run; add --platform aws, or use `run`"
)

Platform = Annotated[str | None, typer.Option(help="aws")]
Profile = Annotated[str | None, typer.Option(help="Credentials profile; default: boto3's chain.")]
Region = Annotated[str | None, typer.Option(help="AWS region; default: the profile's.")]
Project = Annotated[str | None, typer.Option(help="Begins every name (serverless-mlperf).")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def check_stands(platform: str | None) -> None:
    """Raise InputError for a platform on which nothing stands between two runs."""
    from serverless_mlperf.platforms.table import traits_of

    if platform is None or traits_of(platform).shares_host:
        raise InputError(NOTHING_STANDS)
