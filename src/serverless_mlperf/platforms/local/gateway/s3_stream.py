"""GET of an object that lies in a file: at once where it is small, block by block else, in bounded memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import BrokenOffError
from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.journal.bodies import BodyFile, BodyReader, DamagedBodyError

STREAMED_BYTES: Final = 4 << 20
"""More than that is not read before the answer begins: damage behind its first MiB then breaks the connection off."""


async def from_file(body: BodyFile, start: int, stop: int, status: int, headers: Mapping[str, str]) -> Response:
    """The answer with a range of a body.

    Raises FileNotFoundError when the file was removed meanwhile, DamagedBodyError.
    """
    if stop - start <= STREAMED_BYTES:
        return Response(status, await asyncio.to_thread(body.read, start, stop), headers)
    reader = await asyncio.to_thread(BodyReader, body, start, stop)
    first = await asyncio.to_thread(reader.read)
    return Response(status, first, {**headers, "content-length": str(stop - start)}, rest=_rest(reader, body))


async def _rest(reader: BodyReader, body: BodyFile) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(reader.read):
            yield piece
    except DamagedBodyError as error:
        raise BrokenOffError(str(error)) from error
    except OSError as error:
        raise BrokenOffError(f"{body.path}: cannot be read ({error.strerror}); put the object again") from error
