"""`serverless-mlperf local`."""

from pathlib import Path
from typing import Annotated

import typer

from serverless_mlperf.commands.local_faults import faults_app

local_app = typer.Typer(help="The embedded local platform on its own.", no_args_is_help=True)
local_app.add_typer(faults_app, name="faults")


@local_app.command("serve")
def local_serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: any free one.")] = 4566,
    isolation: Annotated[
        str,
        typer.Option(help="How environments are kept apart: bubblewrap, plain; auto: the stronger that works."),
    ] = "auto",
    faults: Annotated[
        str | None, typer.Option(help="Faults on demand from the start, e.g. lose=0.01,s3-error=0.01,seed=7.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that keeps buckets, queues and functions for the next server.")
    ] = None,
) -> None:
    """Serve S3, SQS and Lambda on 127.0.0.1 until Ctrl-C."""
    from serverless_mlperf.platforms.local.faults import FaultSettings
    from serverless_mlperf.platforms.local.options import ServerOptions
    from serverless_mlperf.platforms.local.service import run

    settings = FaultSettings.from_text(faults) if faults else None
    raise typer.Exit(run(ServerOptions(port=port, isolation=isolation, faults=settings, data=data)))
