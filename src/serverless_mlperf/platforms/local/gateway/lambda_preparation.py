"""A revision's way from Pending to Active: its code is unpacked and the runtime made before it serves."""

import asyncio
from dataclasses import replace

from serverless_mlperf.errors import BenchmarkError, PackageError
from serverless_mlperf.platforms.local.executor_protocol import Executor
from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST
from serverless_mlperf.platforms.local.gateway.lambda_specs import make_spec
from serverless_mlperf.platforms.local.gateway.lambda_state import READY, Function, LambdaState, Progress, Revision


class Preparation:
    """Prepares revisions beside the requests; until then the former revision serves."""

    def __init__(self, state: LambdaState, executor: Executor) -> None:
        self._state = state
        self._executor = executor
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def start(self, function: Function, revision: Revision) -> None:
        """Prepare `$LATEST` or a published version, which is the function's already."""
        key = function.name, revision.version
        if (former := self._tasks.get(key)) is not None:
            former.cancel()
        task = asyncio.get_running_loop().create_task(self._prepare(function, revision))
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._forget(key, done))

    def resume(self) -> None:
        """Prepare what was on its way when the state was kept."""
        for function in self._state.functions.values():
            for revision in (function.latest, *function.versions.values()):
                if "Pending" in revision.progress.state or revision.progress.update == "InProgress":
                    self.start(function, revision)

    async def settled(self, name: str) -> None:
        """Return when nothing of a function is being prepared any more."""
        running = [task for (owner, _), task in self._tasks.items() if owner == name]
        if running:
            await asyncio.wait(running)

    def close(self) -> None:
        """Stop preparing."""
        for task in self._tasks.values():
            task.cancel()

    def _forget(self, key: tuple[str, str], task: "asyncio.Task[None]") -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    async def _prepare(self, function: Function, revision: Revision) -> None:
        try:
            await self._executor.prepare(make_spec(function, revision))
        except BenchmarkError as error:
            code = "InvalidZipFileException" if isinstance(error, PackageError) else "InternalError"
            self._settle(function, revision, str(error), code)
        else:
            self._settle(function, revision, "", "")

    def _settle(self, function: Function, revision: Revision, reason: str, code: str) -> None:
        present = function.revision(revision.version)
        if self._state.functions.get(function.name) is not function or present is None:
            return  # deleted meanwhile
        if present.build_id != revision.build_id:
            return  # replaced meanwhile
        made = replace(present, progress=_progress(present.progress, reason, code))
        if revision.version == LATEST:
            function.latest = made
            if not reason:
                function.serving = made
        else:
            function.versions[revision.version] = made
        self._state.changed("function", function.name)


def _progress(before: Progress, reason: str, code: str) -> Progress:
    if before.state == "Pending":
        return Progress("Failed", reason, code) if reason else replace(READY, update="Successful")
    return replace(before, update="Failed" if reason else "Successful", update_reason=reason, update_reason_code=code)
