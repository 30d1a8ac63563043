"""`serverless-mlperf local`."""

from pathlib import Path
from typing import Annotated

import typer

from serverless_mlperf.commands.local_faults import faults_app

local_app = typer.Typer(help="The embedded local platform on its own.", no_args_is_help=True)
local_app.add_typer(faults_app, name="faults")


@local_app.command("serve")
def local_serve(  # noqa: PLR0913 - an argument per option
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: any free one.")] = 4566,
    host: Annotated[str, typer.Option(help="Address; beyond this machine every request must carry a token.")] = (
        "127.0.0.1"
    ),
    token_file: Annotated[
        Path | None, typer.Option(help="Holds the token that every request must carry; made if it is not there.")
    ] = None,
    isolation: Annotated[str, typer.Option(help="Of environments: bubblewrap, plain; auto: the stronger.")] = "auto",
    controller: Annotated[str, typer.Option(help="CPU share: sigstop, cgroup-v1, cgroup-v2 or auto.")] = "sigstop",
    faults: Annotated[
        str | None, typer.Option(help="Faults on demand from the start, e.g. lose=0.01,s3-error=0.01,seed=7.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that keeps buckets, queues and functions for the next server.")
    ] = None,
    clock_speed: Annotated[
        float, typer.Option(help="Speed of retries, event age, back-off and keep-alive; 0: they stand still.")
    ] = 1.0,
    account_concurrency: Annotated[
        int, typer.Option(help="Invocations of all functions at once, as on Lambda.")
    ] = 1000,
    scale_up: Annotated[int, typer.Option(help="Environments that a function may start in 10 s.")] = 1000,
    keep_alive: Annotated[
        str, typer.Option(help="When idle environments end: off (they stay), 2025 or 2020, as measured on Lambda.")
    ] = "off",
    delays: Annotated[
        list[str] | None,
        typer.Option(help="Modelled delay: microvm-2021, download-2021, s3-trigger-uncalibrated; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that the service draws.")] = 0,
    storage: Annotated[
        str, typer.Option(help="EphemeralStorage: watched, or enforced (root, loop devices).")
    ] = "watched",
    init_limit_s: Annotated[float, typer.Option(help="Real seconds of an init phase; Lambda's are 10.")] = 10.0,
) -> None:
    """Serve S3, SQS and Lambda on 127.0.0.1 until Ctrl-C."""
    from serverless_mlperf.platforms.local.faults import FaultSettings
    from serverless_mlperf.platforms.local.options import ServerOptions
    from serverless_mlperf.platforms.local.service import run

    options = ServerOptions(
        port=port,
        host=host,
        token_file=token_file,
        isolation=isolation,
        controller=controller,
        faults=FaultSettings.from_text(faults) if faults else None,
        data=data,
        clock_speed=clock_speed,
        account_concurrency=account_concurrency,
        scale_up=scale_up,
        keep_alive=keep_alive,
        delays=tuple(delays or ()),
        seed=seed,
        storage=storage,
        init_limit_s=init_limit_s,
    )
    raise typer.Exit(run(options))
