"""The local platform's server as a process: `python -m serverless_mlperf.platforms.local.service`."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
import json
import os
from pathlib import Path
import signal
import sys

from serverless_mlperf.cache import cache_in_use
from serverless_mlperf.cleaning import remove_leftovers
from serverless_mlperf.errors import BenchmarkError, HostError
from serverless_mlperf.owner import PREFIX, own_folder
from serverless_mlperf.platforms.local.access import Access, access_of
from serverless_mlperf.platforms.local.concurrency import ACCOUNT_CONCURRENCY, SCALE_UP
from serverless_mlperf.platforms.local.faults import FaultBoard, FaultSettings
from serverless_mlperf.platforms.local.gateway.server import LocalServer
from serverless_mlperf.platforms.local.isolation import CHOICES, Isolation, choose_isolation
from serverless_mlperf.platforms.local.journal.disk import journal_in
from serverless_mlperf.platforms.local.options import ServerOptions
from serverless_mlperf.platforms.local.orphans import adopt_orphans, end_orphans
from serverless_mlperf.platforms.local.priority import go_first
from serverless_mlperf.platforms.local.restraint import DEFAULT, usable
from serverless_mlperf.platforms.local.service_model import INIT_LIMIT_S
from serverless_mlperf.platforms.local.tmp_disk import checked_storage


def main(argv: Sequence[str] | None = None) -> int:
    """Serve as the arguments say; the exit status."""
    try:
        options = ServerOptions(**vars(_parser().parse_args(argv)))
    except BenchmarkError as error:
        return _failed(error)
    return run(options)


def run(options: ServerOptions) -> int:
    """Serve until SIGTERM, SIGINT or, with `parent_stdin`, the end of stdin; the exit status."""
    go_first()
    remove_leftovers()  # of a server that was killed
    try:
        checked_storage(options.storage)
        isolation = replace(choose_isolation(options.isolation), storage=options.storage)
        access = _access(options)
        adopt_orphans()
        asyncio.run(_serve(options, isolation, access))
    except BenchmarkError as error:
        return _failed(error)
    finally:
        end_orphans()  # of a controller that was killed
    return 0


def _access(options: ServerOptions) -> Access:
    return access_of(options.host, options.token_file, options.port)


def _failed(error: BenchmarkError) -> int:
    sys.stderr.write(f"error: {error}\n")
    return error.exit_status


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="serverless-mlperf local serve", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any free one")
    parser.add_argument("--parent-stdin", action="store_true", help="end when stdin does")
    parser.add_argument("--host", default="127.0.0.1", help="address; beyond this machine a token is asked for")
    parser.add_argument("--token-file", type=Path, help="holds the token that every request must carry")
    parser.add_argument("--isolation", default="auto", help=f"{', '.join(CHOICES)}; auto: the strongest there is")
    parser.add_argument("--controller", default=DEFAULT, help="sigstop, cgroup-v1, cgroup-v2 or auto")
    parser.add_argument("--storage", default="watched", help="of /tmp: watched, or enforced by a disk of that size")
    parser.add_argument("--faults", type=FaultSettings.from_text, help="faults on demand, e.g. lose=0.01,seed=7")
    parser.add_argument("--data", type=Path, help="folder that keeps everything for the next server")
    parser.add_argument("--clock-speed", type=float, default=1.0, help="of retries, event age, back-off, keep-alive")
    parser.add_argument("--account-concurrency", type=int, default=ACCOUNT_CONCURRENCY, help="invocations at once")
    parser.add_argument("--scale-up", type=int, default=SCALE_UP, help="environments a function may start in 10 s")
    parser.add_argument("--keep-alive", default="off", help="when idle environments end: off, 2025 or 2020")
    parser.add_argument("--delays", type=_names, default=(), help="modelled delays, e.g. microvm-2021,download-2021")
    parser.add_argument("--seed", type=int, default=0, help="of all that the service draws")
    parser.add_argument("--init-limit-s", type=float, default=INIT_LIMIT_S, help="real seconds of an init phase")
    return parser


async def _serve(options: ServerOptions, isolation: Isolation, access: Access) -> None:
    from serverless_mlperf.platforms.local.executor import LocalExecutor

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if options.parent_stdin:
        loop.add_reader(sys.stdin.fileno(), _on_parent_ended, ended)
    with cache_in_use(), own_folder(PREFIX) as folder:
        folder.chmod(0o755)  # functions run as another user when we are root
        faults = FaultBoard(options.faults)
        controller = usable(options.controller)
        async with journal_in(options.data) as journal:
            make_executor = partial(
                LocalExecutor,
                model=options.model,
                faults=faults,
                isolation=isolation,
                controller=controller,
                journal=journal,
                access_key=access.token or "local",
            )
            async with LocalServer(
                options.port, folder, make_executor, faults, journal, options.data, access
            ) as server:
                sys.stdout.write(json.dumps({"port": server.port, "pid": os.getpid()}) + "\n")
                sys.stdout.flush()
                server.lost.add_done_callback(lambda _: ended.set())
                await ended.wait()
        if server.lost.done():
            raise HostError(f"local platform: {server.lost.result()}; start it again")


def _on_parent_ended(ended: asyncio.Event) -> None:
    """The end of a pipe can be read for ever: to go on watching it would keep a core busy while the server closes."""
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
