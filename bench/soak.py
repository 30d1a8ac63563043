"""Soak: events by the hundred thousand through a platform full of faults. Every object is accounted for, nothing leaks.

    python bench/soak.py [--events 200000] [--rate 0.01] [--environment-rate 0.01] [--seed 1] [--pause-every N]

Objects of mixed sizes are put, and put again when that is refused or not answered; each is an event for a function of
512 MB. One object in 100 is copied by it through the same faulty S3, one in 500 makes it fail for good. Lambda's
minutes pass in half a second. A success and a failure each leave a record in a queue; what has neither must be an event
that the platform says it has lost. Exit status 1 if an object is not accounted for, if a process, descriptor, cgroup,
mount or file is left, or if the server's memory grows by 20 % or more in the second half.

Environments that are killed or hung have to be started anew, one at a time on two cores. An init phase has one second
here instead of Lambda's ten: a hung one has the only place that there is for init phases. With --pause-every a line of
standard input is waited for after so many objects, with nothing under way.
"""

import argparse
import asyncio
import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
import hashlib
import io
from itertools import islice
import json
import os
from pathlib import Path
import random
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Final
from urllib.parse import unquote_plus
import zipfile

import aiohttp

CLOCK_SPEED: Final = 120
INIT_LIMIT_S: Final = 1
SIZES: Final = (0, 100, 1_000, 1_000, 10_000, 100_000)
KINDS: Final = ("lose", "duplicate", "delay", "reorder", "s3-error", "s3-slowdown", "s3-slow", "s3-truncate", "s3-cut")
ENVIRONMENT_KINDS: Final = ("kill-init", "hang-init", "kill-handler", "hang-handler", "kill-response")
PUTTERS: Final = 16
MOST_OUTSTANDING: Final = 1_000
"""Objects put and not accounted for: the load is what the platform takes, not what it can store.

Lambda's six hours are three minutes here: on a slow host more would grow too old while they wait.
"""
STALLED_S: Final = 60.0
GROWTH: Final = 0.2
ACCOUNT: Final = "000000000000"
APP: Final = """
import http.client, os
from urllib.parse import urlsplit

def s3(method, path, body=None):
    connection = http.client.HTTPConnection(urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc, timeout=1)
    connection.request(method, path, body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= 300 and answer.status != 404:
        raise OSError(f"{method} {path}: {answer.status}")
    return content

def lambda_handler(event, context):
    key = event["Records"][0]["s3"]["object"]["key"]
    if key.endswith("-fail"):
        raise ValueError("of no use")
    if key.endswith("-copy"):
        s3("PUT", "/soak/out/" + key.rpartition("/")[2], s3("GET", "/soak/" + key))
"""


@dataclass
class Run:
    """What has come of the objects so far."""

    events: int
    seed: int
    outstanding: set[str] = field(default_factory=set)
    lost: int = 0
    """Of them those whose events are known to be lost on demand: nothing comes of them any more."""
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    records: Counter[str] = field(default_factory=Counter)
    put: int = 0
    repeated: int = 0
    rss_mib: list[tuple[int, float]] = field(default_factory=list)
    """Objects put, and the server's resident memory."""
    moved_s: float = field(default_factory=time.monotonic)


class Server:
    """The platform's process and what it holds."""

    def __init__(self, folder: Path) -> None:
        arguments = ("--parent-stdin", "--clock-speed", str(CLOCK_SPEED), "--init-limit-s", str(INIT_LIMIT_S))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serverless_mlperf.platforms.local.service", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"
        self.proc = Path(f"/proc/{self.process.pid}")

    def rss_mib(self) -> float:
        """Resident memory."""
        lines = dict(line.split(":", 1) for line in (self.proc / "status").read_text().splitlines())
        return int(lines["VmRSS"].split()[0]) / 1024

    def held(self) -> dict[str, int]:
        """Descriptors, and processes below it."""
        return {"descriptors": len(list((self.proc / "fd").iterdir())), "processes": len(descendants(self.process.pid))}

    def stop(self) -> int:
        """End it in order; its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(60)


def descendants(pid: int) -> list[int]:
    """Processes below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def surroundings() -> dict[str, list[str]]:
    """What a platform may have made outside its folder: mounts and cgroups."""
    groups = [str(path) for path in Path("/sys/fs/cgroup").rglob("*") if "mlperf" in path.name]
    return {"mounts": sorted(Path("/proc/self/mounts").read_text().splitlines()), "cgroups": sorted(groups)}


class Platform:
    """Calls of the APIs, repeated where a fault on demand may be what refuses them."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """One call that must succeed."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, path, data=body, headers=fields) as answer:
            content = await answer.read()
            assert answer.status < 300, (method, path, answer.status, content[:300])
            return content

    async def json(self, method: str, path: str, value: Any = None) -> Any:
        """The same with JSON."""
        return json.loads(await self.ask(method, path, b"" if value is None else json.dumps(value).encode()) or b"null")

    async def sqs(self, action: str, **values: Any) -> Any:
        """One call of SQS."""
        return json.loads(await self.ask("POST", "/", json.dumps(values).encode(), X_Amz_Target=f"AmazonSQS.{action}"))

    async def put(self, key: str, body: bytes) -> int:
        """Put until it is acknowledged; how often that took another try."""
        for tries in range(1000):
            try:
                async with self._session.put(f"/soak/{key}", data=body) as answer:
                    await answer.read()
                    if answer.status == 200:
                        return tries
            except aiohttp.ClientError:
                continue
        raise SystemExit(f"{key}: never acknowledged")


async def set_up(platform: Platform) -> None:
    """Bucket, function, trigger, and a queue for each way to end."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("app.py", APP)
    await platform.ask("PUT", "/soak")
    arns = {}
    for name in ("done", "failed"):
        await platform.sqs("CreateQueue", QueueName=name, Attributes={"VisibilityTimeout": "600"})
        arns[name] = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    settings = {
        "Handler": "app.lambda_handler",
        "Timeout": 1,
        "MemorySize": 512,
        "Role": f"arn:aws:iam::{ACCOUNT}:role/r",
    }
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    code = {"ZipFile": base64.b64encode(package.getvalue()).decode()}
    made = await platform.json(
        "POST", "/2015-03-31/functions", {"FunctionName": "soak", "Runtime": runtime, "Code": code, **settings}
    )
    await platform.ask("POST", "/_platform/prepare?function=soak")
    ends = {"OnSuccess": {"Destination": arns["done"]}, "OnFailure": {"Destination": arns["failed"]}}
    await platform.json("PUT", "/2019-09-25/functions/soak/event-invoke-config", {"DestinationConfig": ends})
    permission = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    await platform.json("POST", "/2015-03-31/functions/soak/policy", permission)
    rule = (
        "<Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>in/</Value></FilterRule>"
    )
    configuration = f"<CloudFunction>{made['FunctionArn']}</CloudFunction>{rule}</S3Key></Filter>"
    document = f"<CloudFunctionConfiguration>{configuration}</CloudFunctionConfiguration>"
    await platform.ask(
        "PUT", "/soak?notification", f"<NotificationConfiguration>{document}</NotificationConfiguration>".encode()
    )


def keys_of(run: Run) -> Iterator[tuple[str, int]]:
    """Keys, what is to become of them by their ends, and sizes."""
    generator = random.Random(run.seed)  # noqa: S311 - reproducible, not secret
    for number in range(run.events):
        end = "-fail" if number % 500 == 0 else "-copy" if number % 100 == 1 else ""
        yield f"in/{number:07}{end}", generator.choice(SIZES)


async def put_all(platform: Platform, server: Server, run: Run, pause_every: int) -> None:
    """Put every object once it may be; several at a time, with a rest now and then."""
    keys = keys_of(run)
    while part := list(islice(keys, pause_every or run.events)):
        await put_part(platform, server, run, iter(part))
        if pause_every:
            await finish(platform, run)
            print(f"{run.put} objects put, waiting for a line", flush=True)
            await asyncio.to_thread(sys.stdin.readline)


async def put_part(platform: Platform, server: Server, run: Run, keys: Iterator[tuple[str, int]]) -> None:
    """Put some of them, several at a time."""
    content = os.urandom(max(SIZES))

    async def putter() -> None:
        for key, size in keys:
            while len(run.outstanding) - run.lost > MOST_OUTSTANDING:
                await asyncio.sleep(0.01)
            run.outstanding.add(key)
            run.repeated += await platform.put(key, content[:size])
            run.put += 1
            if run.put % max(1, run.events // 200) == 0:
                run.rss_mib.append((run.put, server.rss_mib()))

    await asyncio.gather(*(putter() for _ in range(PUTTERS)))


async def account(platform: Platform, run: Run, name: str, found: set[str]) -> None:
    """Take the records of one queue, and delete the objects that they are about; until cancelled."""
    queue_url = f"http://127.0.0.1/{ACCOUNT}/{name}"
    over: list[str] = []
    while True:
        got = await platform.sqs("ReceiveMessage", QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        messages = got.get("Messages", [])
        for message in messages:
            event = json.loads(message["Body"])["requestPayload"]
            key = unquote_plus(event["Records"][0]["s3"]["object"]["key"])
            run.records[name] += 1
            found.add(key)
            run.outstanding.discard(key)
            over.append(key)
        if messages:
            run.moved_s = time.monotonic()
            rows = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
            await platform.sqs("DeleteMessageBatch", QueueUrl=queue_url, Entries=rows)
        if len(over) >= 400 or (over and not messages):
            await delete(platform, over)
            over = []


async def count_lost(platform: Platform, run: Run) -> None:
    """Keep in mind how many of the outstanding objects nothing can come of; until cancelled."""
    while True:
        run.lost = len(run.outstanding & set(await platform.json("GET", "/_platform/faults?kind=lose")))
        await asyncio.sleep(1)


async def delete(platform: Platform, keys: list[str]) -> None:
    """Delete objects, and what was copied of them."""
    names = [name for key in keys for name in (key, key.replace("in/", "out/"))]
    rows = "".join(f"<Object><Key>{name}</Key></Object>" for name in names)
    body = f"<Delete><Quiet>true</Quiet>{rows}</Delete>".encode()
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    await platform.ask("POST", "/soak?delete", body, Content_MD5=digest)


async def finish(platform: Platform, run: Run) -> set[str]:
    """Wait until all that can still come has come; the keys whose events were lost on demand."""
    run.moved_s = time.monotonic()
    while True:
        lost = set(await platform.json("GET", "/_platform/faults?kind=lose"))
        events = (await platform.json("GET", "/_platform/status"))["executor"]["events"]
        if (
            run.outstanding <= lost and events["accepted"] == ended(events)
        ) or time.monotonic() - run.moved_s > STALLED_S:
            return lost
        await asyncio.sleep(0.2)


def ended(events: Mapping[str, int]) -> int:
    """Events that have come to their end, whichever."""
    return sum(events[name] for name in ("delivered", "destination", "dead_letter", "dropped"))


def growth(run: Run) -> float:
    """By what share the server's memory has grown over the second half: medians of a twentieth of the samples."""
    width = max(1, len(run.rss_mib) // 20)
    middle = len(run.rss_mib) // 2
    before = statistics.median(rss for _, rss in run.rss_mib[middle : middle + width])
    return statistics.median(rss for _, rss in run.rss_mib[-width:]) / before - 1


async def soak(server: Server, run: Run, rates: Mapping[str, float], pause_every: int = 0) -> list[str]:
    """Run it; what is wrong."""
    connector = aiohttp.TCPConnector(limit=PUTTERS + 8)
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        platform = Platform(session)
        await set_up(platform)
        held = server.held()
        faults = {"rates": rates, "seed": run.seed, "event_delay_s": 0.2, "s3_delay_s": 0.05}
        await platform.json("PUT", "/_platform/faults", faults)
        begun_s = time.monotonic()
        accounts = [account(platform, run, "done", run.done), account(platform, run, "failed", run.failed)]
        others = (account(platform, run, "done", run.done), count_lost(platform, run))
        tasks = [asyncio.create_task(each) for each in (*accounts, *others)]
        await put_all(platform, server, run, pause_every)
        lost = await finish(platform, run)
        took_s = time.monotonic() - begun_s
        for task in tasks:
            task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(end, asyncio.CancelledError):
                raise SystemExit(f"an account ended: {end!r}")
        status = await platform.json("GET", "/_platform/status")
        await platform.ask("DELETE", "/_platform/faults")
        await platform.ask("DELETE", "/2015-03-31/functions/soak")
    show(run, status, took_s, lost)
    return [*missing(run, lost, status), *await leaks(server, held), *grown(run)]


def show(run: Run, status: dict[str, Any], took_s: float, lost: set[str]) -> None:
    """Print the figures."""
    events = status["executor"]["events"]
    print(f"{run.put} objects in {took_s:.0f} s ({run.put / took_s:.0f}/s), {run.repeated} PUTs repeated")
    print(f"{events['accepted']} events accepted ({events['accepted'] / took_s:.0f}/s), counted ends: {events}")
    print(f"records: {dict(run.records)}; objects done {len(run.done)}, failed {len(run.failed - run.done)}, ", end="")
    print(f"lost on demand {len(run.outstanding & lost)}; cold starts {status['executor']['cold_starts']}")
    print(f"injected: {status['faults']['injected']}")
    marks = [run.rss_mib[len(run.rss_mib) * n // 4 - (n == 4)] for n in range(5)] if len(run.rss_mib) > 4 else []
    print("server memory: " + ", ".join(f"{rss:.0f} MiB at {put}" for put, rss in marks), flush=True)


def missing(run: Run, lost: set[str], status: dict[str, Any]) -> Iterator[str]:
    """Objects and events that nobody knows the end of."""
    unknown = sorted(run.outstanding - lost)
    if unknown:
        yield f"{len(unknown)} objects unaccounted for, first {unknown[:5]}"
    if run.put != run.events:
        yield f"{run.put} objects put of {run.events}"
    events = status["executor"]["events"]
    if events["accepted"] != ended(events):
        yield f"{events['accepted']} events accepted, {ended(events)} ended"
    if events["dropped"]:
        yield f"{events['dropped']} events dropped"


async def leaks(server: Server, before: dict[str, int]) -> list[str]:
    """What the server still holds when nobody asks for anything any more."""
    end_s = time.monotonic() + 20
    while (held := server.held()) and any(held[name] > before[name] for name in before) and time.monotonic() < end_s:
        await asyncio.sleep(0.1)
    print(f"held before: {before}, after: {held}")
    return [f"{name}: {before[name]} before, {held[name]} after" for name in before if held[name] > before[name]]


def grown(run: Run) -> Iterator[str]:
    """Memory that does not come to rest; too few samples say nothing."""
    if len(run.rss_mib) >= 40:
        share = growth(run)
        print(f"growth over the second half: {share:+.1%}")
        if share >= GROWTH and run.events >= 20_000:
            yield f"the server's memory grew by {share:.0%} over the second half"


def rates_of(rate: float, environment_rate: float) -> dict[str, float]:
    """Every kind of fault with its rate."""
    return {**dict.fromkeys(KINDS, rate), **dict.fromkeys(ENVIRONMENT_KINDS, environment_rate)}


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder for temporary files of the server's own, which functions can walk to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def main() -> int:
    """Run it and say what is wrong; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--environment-rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause-every", type=int, default=0)
    options = parser.parse_args()
    before = surroundings()
    with reachable_folder() as folder:
        server = Server(folder)
        try:
            run = Run(options.events, options.seed)
            wrong = asyncio.run(
                soak(server, run, rates_of(options.rate, options.environment_rate), options.pause_every)
            )
        finally:
            pids = descendants(server.process.pid)
            status = server.stop()
        wrong += [f"the server ended with status {status}"] if status else []
        wrong += [f"process {pid} is left" for pid in pids if Path(f"/proc/{pid}").exists()]
        wrong += [f"{path} is left" for path in folder.iterdir()]
    after = surroundings()
    wrong += [f"{name}: {set(after[name]) ^ set(before[name])}" for name in after if after[name] != before[name]]
    for each in wrong:
        print(f"WRONG: {each}")
    print("holds" if not wrong else "does not hold")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
