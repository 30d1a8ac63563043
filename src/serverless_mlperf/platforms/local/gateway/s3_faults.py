"""Faults on demand of S3's answers about objects: 500, 503, late, broken off."""

import asyncio
from collections.abc import Awaitable, Callable

from serverless_mlperf.platforms.local.faults import FaultPlan
from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Request, Response


async def disturbed(plan: FaultPlan, request: Request, key: str, serve: Callable[[], Awaitable[Response]]) -> Response:
    """Serve a request about an object, or do not; ApiError InternalError, SlowDown."""
    subject = f"{request.method} {key}"
    slow, error, slowdown = (plan.draws(kind) for kind in ("s3-slow", "s3-error", "s3-slowdown"))
    truncate = request.method == "GET" and plan.draws("s3-truncate")
    cut = request.method == "PUT" and plan.draws("s3-cut")
    if slow:
        plan.note("s3-slow", subject)
        await asyncio.sleep(plan.settings.s3_delay_s)
    if error:
        plan.note("s3-error", subject)
        raise ApiError(500, "InternalError", "We encountered an internal error. Please try again.")
    if slowdown:
        plan.note("s3-slowdown", subject)
        raise ApiError(503, "SlowDown", "Please reduce your request rate.")
    response = await serve()
    if truncate and response.body:
        plan.note("s3-truncate", subject)
        response.sent_bytes = len(response.body) // 2
    elif cut:
        plan.note("s3-cut", subject)
        response.sent_bytes = -1
    return response
