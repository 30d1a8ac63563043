"""One query without LoadGen: what a cold start is measured with."""

import asyncio
import time
from typing import Final

import aiohttp

from serverless_mlperf.errors import BenchmarkError, RunError
from serverless_mlperf.mlperf.collection import make_record
from serverless_mlperf.mlperf.query import Query, check_sut
from serverless_mlperf.mlperf.spec import RunSpec
from serverless_mlperf.records import Record
from serverless_mlperf.transports.base import Reply

SAMPLE: Final = 0


def ask_once(spec: RunSpec) -> Record:
    """Send one query of `spec` and wait for its answer; blocking.

    Raises RunError when it is not answered well within the deadline.
    """
    return asyncio.run(_ask(spec))


async def _ask(spec: RunSpec) -> Record:
    answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    transport = spec.make_transport(spec.identity)
    await transport.open(lambda reply: None if answered.done() else answered.set_result(reply))
    try:
        query = _query(f"{spec.run}-00000000")
        async with asyncio.timeout(spec.timeout_s):
            await transport.send(query.key, SAMPLE)
            query.reply = await answered
        query.completed_tick_ns = time.perf_counter_ns()
        check_sut(query.reply.body)
    except (TimeoutError, OSError, aiohttp.ClientError, ValueError, BenchmarkError) as error:
        said = query.reply.error if query.reply and query.reply.error else error or type(error).__name__
        raise RunError(f"cold start of {spec.target.function_name}: no good answer: {said}") from error
    finally:
        await transport.close()
    query.verdict = "ok"
    return make_record(query, {})[0]


def _query(key: str) -> Query:
    now_ns, tick_ns = time.time_ns(), time.perf_counter_ns()
    return Query(key, 0, SAMPLE, now_ns, tick_ns, tick_ns, now_ns)
