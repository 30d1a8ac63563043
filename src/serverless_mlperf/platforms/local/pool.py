"""Which environment serves which job: warm reuse, Lambda's limits, the host's bound."""

import asyncio
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any, Final

from serverless_mlperf.errors import BenchmarkError, PlatformError
from serverless_mlperf.platforms.local.concurrency import Concurrency
from serverless_mlperf.platforms.local.environment import Environment, Workshop, as_error, not_started
from serverless_mlperf.platforms.local.host import INIT_VCPU, Capacity, most_at_once
from serverless_mlperf.platforms.local.job import EventExpiredError, Job, Outcome
from serverless_mlperf.platforms.local.keep_alive import KeepAlive
from serverless_mlperf.platforms.local.logs import InvocationReport
from serverless_mlperf.platforms.local.model import FunctionSpec, ThrottledError, cpu_share
from serverless_mlperf.platforms.local.scaled_clock import ScaledClock

REPORTS_KEPT: Final = 100_000


class FunctionPool:
    """Environments and waiting jobs of one function."""

    def __init__(self, spec: FunctionSpec, cores: int) -> None:
        self.spec = spec
        self.waiting: deque[Job] = deque()
        self.environments: set[Environment] = set()
        self.idle: list[Environment] = []
        """Most recently used last."""
        self.active = 0
        """Environments in an invocation or in their init phase."""
        self.bound: int | None = None
        """Most environments that an experiment wants at once: a part of the host's bound, not one of Lambda's."""
        self._cores = cores

    @property
    def limit(self) -> int:
        """Environments that may be active at once; more than the host can run would only wait for each other."""
        host = most_at_once(self.spec.memory_mib, self._cores)
        return host if self.bound is None else min(host, self.bound)

    @property
    def ready(self) -> bool:
        """Whether a waiting job may start.

        It does not while an environment is about to become idle: a caller that sends its next invocation as soon as
        it has an answer would else start a second environment.
        """
        if not self.waiting or self.active >= self.limit:
            return False
        return bool(self.idle) or not any(environment.finishing for environment in self.environments)

    def environment_for(self, job: Job) -> Environment | None:
        """The idle environment used last, or None where a new one shall be started."""
        if job.needs_new or not self.idle:
            job.needs_new = True
            return None
        return self.idle[-1]

    def pass_on(self) -> Environment | None:
        """Have the next job start the environment for which there is no room yet, and this one be served meanwhile.

        Only where enough jobs wait behind it that every environment the function may have will be started all the same.
        """
        if not self.idle or len(self.waiting) <= self.limit - len(self.environments):
            return None
        self.waiting[0].needs_new, self.waiting[1].needs_new = False, True
        return self.idle[-1]


class Scheduler:
    """Gives jobs to environments in the order of their arrival; implements environment.Owner."""

    def __init__(
        self, workshop: Workshop, cores: int, clock: ScaledClock, concurrency: Concurrency, keep_alive: KeepAlive
    ) -> None:
        self.capacity = Capacity(cores)
        self.pools: dict[str, FunctionPool] = {}
        self.reports: dict[str, deque[InvocationReport]] = {}
        self.cold_starts = 0
        self.ended_idle = 0
        """Environments that were not kept any longer."""
        self.concurrency = concurrency
        self._keep_alive = keep_alive
        self._clock = clock
        self._bounds: dict[str, int] = {}
        self._workshop = workshop
        self._orders = count()
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, spec: FunctionSpec, job: Job) -> None:
        """Accept a job; raises ThrottledError where Lambda's limits would not have it run now.

        Where only the host has no room, calls and events wait in the order of their arrival.
        """
        pool = self._pool(spec)
        self._admit(pool, job)
        job.order, job.needs_new = next(self._orders), False
        pool.waiting.append(job)
        self.schedule()

    def bound(self, name: str, environments: int) -> None:
        """Run at most so many environments of each version of a function at once; who meets it waits."""
        self._bounds[name] = environments
        for pool in self._of_function(name):
            pool.bound = environments

    def schedule(self) -> None:
        """Start whatever may start now."""
        while (choice := self._choose()) is not None:
            self._start(*choice)

    async def retire(self, name: str, version: str | None = None) -> None:
        """End a function's environments, or those of one version, and give up what waits; done when nothing is left."""
        if version is None:
            self.concurrency.forget(name)
            self._bounds.pop(name, None)
        found = [p for p in self._of_function(name) if version in {None, p.spec.version}]
        for pool in found:
            del self.pools[pool.spec.pool_name]
            for job in pool.waiting:
                self._end_job(name, job, PlatformError(f"function {name}: deleted while an invocation was waiting"))
            pool.waiting.clear()
        await self._end([environment for pool in found for environment in pool.environments])

    def renew(self, spec: FunctionSpec) -> None:
        """A new revision: idle environments of the former end now, busy ones after their invocation."""
        self.concurrency.reserve(spec.name, spec.reserved_concurrency)
        if spec.pool_name in self.pools:
            self._pool(spec)
            self.schedule()

    async def close(self) -> None:
        """End every function."""
        for name in {pool.spec.name for pool in self.pools.values()}:
            await self.retire(name)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def environments(self) -> Iterator[Environment]:
        """All that exist."""
        for pool in self.pools.values():
            yield from pool.environments

    def status(self) -> dict[str, Any]:
        """Counters and environments, for the status page."""
        return {
            "environments": [environment.describe() for environment in self.environments()],
            "functions": {
                name: {"active": pool.active, "idle": len(pool.idle), "waiting": len(pool.waiting), "limit": pool.limit}
                for name, pool in self.pools.items()
            },
            "cold_starts": self.cold_starts,
            "ended_idle": self.ended_idle,
            "concurrency": self.concurrency.describe(),
            "running": self.capacity.running,
            "used_vcpu": round(self.capacity.used_vcpu, 3),
        }

    # ---- environment.Owner

    def on_initialised(self, environment: Environment) -> None:
        """Its init phase is over: what it does not need any more is given to others."""
        self._need(environment, environment.share)

    def on_struck(self, environment: Environment) -> None:
        """What hangs on demand until its timeout keeps none of the host's CPU from others; it still counts as one."""
        self._need(environment, 0.0)

    def on_idle(self, environment: Environment) -> None:
        """Give it the next job, or freeze it."""
        self._release(environment)
        pool = self.pools.get(environment.spec.pool_name)
        if environment.retiring or pool is None or pool.spec.revision_id != environment.spec.revision_id:
            environment.retire()
            self.schedule()
            return
        pool.idle.append(environment)
        self.schedule()
        if environment in pool.idle:
            environment.freeze()
            self._keep_alive.on_idle(environment, pool.spec.name, partial(self._let_go, pool, environment))

    def on_ended(self, environment: Environment) -> None:
        """Forget it."""
        self._keep_alive.on_busy(environment)
        self._release(environment)
        pool = self.pools.get(environment.spec.pool_name)
        if pool is not None:
            pool.environments.discard(environment)
            if environment in pool.idle:
                pool.idle.remove(environment)
        self.schedule()

    # ---- inner works

    def _pool(self, spec: FunctionSpec) -> FunctionPool:
        pool = self.pools.get(spec.pool_name)
        if pool is None:
            pool = self.pools[spec.pool_name] = FunctionPool(spec, self.capacity.cores)
            pool.bound = self._bounds.get(spec.name)
        elif pool.spec.revision_id != spec.revision_id:
            stale, pool.idle = pool.idle, []
            for environment in stale:
                environment.retire()
        pool.spec = spec
        return pool

    def _let_go(self, pool: FunctionPool, environment: Environment) -> None:
        """It has been idle for long enough."""
        if environment in pool.idle:  # else it is being retired already
            pool.idle.remove(environment)
            self.ended_idle += 1
            environment.retire()

    def _admit(self, pool: FunctionPool, job: Job) -> None:
        """Count a job against Lambda's limits, or refuse it."""
        name = pool.spec.name
        self.concurrency.reserve(name, pool.spec.reserved_concurrency)
        # An event that the host alone holds back waits: it is counted when it starts.
        if job.kind == "event" and self.concurrency.limit(name) > pool.limit:
            return
        self.concurrency.check(name)
        if job.kind == "call":
            self.concurrency.request(name)
        self._count(name, job)

    def _count(self, name: str, job: Job) -> None:
        if not job.counted:
            job.counted = True
            self.concurrency.take(name)

    def _end_job(self, name: str, job: Job, outcome: Outcome | BenchmarkError | ThrottledError) -> None:
        """An invocation is over, or will never be: what it was counted for is free before its sender is told."""
        if job.counted:
            job.counted = False
            self.concurrency.give_back(name)
        job.finish(job, outcome)

    def _of_function(self, name: str) -> list[FunctionPool]:
        """The pools of a function's versions."""
        return [pool for pool in self.pools.values() if pool.spec.name == name]

    def _choose(self) -> tuple[FunctionPool, Environment | None] | None:
        """The oldest job whose function may run one more, if the host has room for it; nothing overtakes it."""
        able = [pool for pool in self.pools.values() if pool.ready]
        if not able:
            return None
        pool = min(able, key=lambda candidate: candidate.waiting[0].order)
        environment = pool.environment_for(pool.waiting[0])
        if environment is None and not self.capacity.fits(max(INIT_VCPU, cpu_share(pool.spec.memory_mib))):
            # The room comes when the init phase under way is over; without one, only if those that run make it.
            environment = pool.pass_on() if self._initialising() else None
            if environment is None:
                return None
        return (pool, environment) if environment is None or self.capacity.fits(environment.vcpu) else None

    def _initialising(self) -> bool:
        return any(environment.state == "starting" for environment in self.environments())

    def _start(self, pool: FunctionPool, environment: Environment | None) -> None:
        job = pool.waiting.popleft()
        name = pool.spec.name
        if job.expires_s <= self._clock.now_s():
            self._end_job(name, job, EventExpiredError(f"function {name}: an event waited for too long"))
            return
        if environment is None:
            try:
                self.concurrency.grow(name)
            except ThrottledError as error:
                self._end_job(name, job, error)
                return
            environment = Environment(pool.spec, self._workshop, self)
            pool.environments.add(environment)
            self.cold_starts += 1
        else:
            pool.idle.remove(environment)
            self._keep_alive.on_busy(environment)
        self._count(name, job)
        pool.active += 1
        environment.holds_room = True
        self.capacity.take(environment.vcpu)
        task = asyncio.ensure_future(self._run(environment, job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, environment: Environment, job: Job) -> None:
        name = environment.spec.name
        try:
            outcome, report = await environment.run(job)
        except (BenchmarkError, OSError) as error:
            environment.retire()
            await environment.abandon()
            self.on_ended(environment)
            # Of an event nobody waits for the answer: the report is where its sender can find out.
            self._note(name, not_started(environment, job, as_error(error, name)))
            self._end_job(name, job, as_error(error, name))
            return
        self._note(name, report)
        self._end_job(name, job, outcome)

    def _note(self, name: str, report: InvocationReport) -> None:
        self.reports.setdefault(name, deque(maxlen=REPORTS_KEPT)).append(report)

    def _need(self, environment: Environment, vcpu: float) -> None:
        self.capacity.change(environment.vcpu, vcpu)
        environment.vcpu = vcpu
        self.schedule()

    def _release(self, environment: Environment) -> None:
        if not environment.holds_room:
            return
        environment.holds_room = False
        self.capacity.give_back(environment.vcpu)
        pool = self.pools.get(environment.spec.pool_name)
        if pool is not None and environment in pool.environments:  # not a later function of the same name
            pool.active -= 1

    async def _end(self, environments: list[Environment]) -> None:
        for environment in environments:
            environment.retire()
        if environments:
            await asyncio.wait([environment.gone for environment in environments])
