"""Faults on demand: what is refused, what a seed fixes, what becomes of events and environments."""

import asyncio
from pathlib import Path
from typing import Any

from executor_functions import ask, executor, fault, function, until
import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.executor import LocalExecutor
from serverless_mlperf.platforms.local.faults import KINDS, FaultBoard, FaultPlan, FaultSettings
from serverless_mlperf.platforms.local.gateway.event_faults import EventFaults
from serverless_mlperf.platforms.local.service_model import ServiceModel

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:probe"


def plan_of(seed: int = 0, **rates: float) -> FaultPlan:
    """A plan with these rates."""
    board = FaultBoard(FaultSettings({kind.replace("_", "-"): rate for kind, rate in rates.items()}, seed))
    assert board.plan is not None
    return board.plan


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "not a JSON object"),
        ([1], "not a JSON object"),
        ({"rates": [1]}, "an object of kinds"),
        ({"rates": {"lost": 0.1}}, "'lost' is no kind"),
        ({"rates": {"lose": 1.01}}, "0 to 1"),
        ({"rates": {"lose": -0.1}}, "0 to 1"),
        ({"rates": {"lose": float("nan")}}, "0 to 1"),
        ({"rates": {"lose": True}}, "0 to 1"),
        ({"rates": {"lose": "0.1"}}, "0 to 1"),
        ({"rates": {"lose": 10**400}}, "0 to 1"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.0}, "seed"),
        ({"function": None}, "function"),
        ({"s3_delay_s": float("inf")}, "s3_delay_s"),
        ({"speed": 1}, "'speed' is no setting"),
    ],
)
def test_nonsense_is_refused_in_one_line(document: Any, words: str) -> None:
    """What is no setting is an InputError that names it."""
    with pytest.raises(InputError, match=words) as error:
        FaultSettings.from_document(document)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["lose", "lose=", "lose=x", "lose=nan", "=1", "seed=1.5", "lose=0.1;seed=1", "a=1"])
def test_nonsense_in_a_text_is_refused(text: str) -> None:
    """The form of the command line is checked as the JSON is."""
    with pytest.raises(InputError, match="faults: "):
        FaultSettings.from_text(text)


def test_text_and_document_say_the_same() -> None:
    """Settings survive both forms."""
    settings = FaultSettings.from_text("lose=0.01, s3-slow=1,seed=7,prefix=input/a b/,s3-delay-s=0.5")
    assert settings == FaultSettings({"lose": 0.01, "s3-slow": 1}, 7, "", "input/a b/", s3_delay_s=0.5)
    assert FaultSettings.from_text(settings.as_text()) == settings
    assert FaultSettings.from_document(settings.as_document()) == settings


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_decides_for_itself(kind: str) -> None:
    """The same seed gives the same decisions, whatever other kinds are asked for and drawn meanwhile."""
    alone, among = plan_of(5, **{kind: 0.3}), plan_of(5, **dict.fromkeys(KINDS, 0.3))
    drawn = [alone.draws(kind) for _ in range(200)]
    assert 20 < sum(drawn) < 100
    for due in drawn:
        assert among.draws(kind) == due
        for other in KINDS:
            assert other == kind or among.draws(other) in {True, False}
    assert drawn != [plan.draws(kind) for plan in [plan_of(6, **{kind: 0.3})] for _ in range(200)]


def test_counts_outlive_their_plan() -> None:
    """A server tells what has ever been injected, also after a new plan and none."""
    board = FaultBoard(FaultSettings({"lose": 1}))
    assert board.plan is not None
    assert board.plan.strikes("lose", "a")
    assert board.subjects("lose") == ["a"]
    board.set(FaultSettings({"lose": 1}))
    assert board.status()["injected"] == {}
    board.clear()
    assert board.status() == {"faults": None, "occasions": {}, "injected": {}, "injected_in_all": {"lose": 1}}


def delivered(plan: FaultPlan, count: int = 400) -> list[int]:
    """What arrives of numbered events for one target, in order, once nothing is under way any more."""

    async def scenario() -> list[int]:
        events, arrived = EventFaults(), list[int]()
        for number in range(count):
            events.deliver(plan, FUNCTION, str(number), lambda number=number: arrived.append(number))  # type: ignore[misc]
        while events.pending:
            await asyncio.sleep(0.01)
        return arrived

    return asyncio.run(asyncio.wait_for(scenario(), 20))


def test_lost_events_are_counted() -> None:
    """Every event that does not arrive is one of the plan's losses, by its key."""
    plan = plan_of(lose=0.1)
    arrived = delivered(plan)
    lost = [int(key) for kind, key in plan.subjects if kind == "lose"]
    assert 0 < len(lost) == plan.injected["lose"] < 100
    assert sorted(arrived + lost) == list(range(400))


def test_doubled_events_come_twice() -> None:
    """As many events come twice as are counted, none three times."""
    plan = plan_of(duplicate=0.1)
    arrived = delivered(plan)
    assert 0 < len(arrived) - len(set(arrived)) == plan.injected["duplicate"]


def test_reordered_events_are_overtaken() -> None:
    """Each event that is held back arrives behind its successor; none is lost."""
    plan = plan_of(reorder=0.2)
    plan.settings = FaultSettings(plan.settings.rates, event_delay_s=0.05)
    arrived = delivered(plan)
    assert sorted(arrived) == list(range(400))
    held = {int(key) for _, key in plan.subjects}
    position = {number: index for index, number in enumerate(arrived)}
    followed = [number for number in held if number + 1 < 400 and number + 1 not in held]
    assert followed
    assert all(position[number] > position[number + 1] for number in followed)


def test_delayed_events_come_later() -> None:
    """What is delayed arrives behind all that is not."""
    plan = plan_of(delay=0.1)
    plan.settings = FaultSettings(plan.settings.rates, event_delay_s=0.05)
    arrived = delivered(plan)
    late = plan.injected["delay"]
    assert sorted(arrived) == list(range(400))
    assert {int(key) for _, key in plan.subjects} == set(arrived[-late:])


def test_all_kinds_at_once_lose_only_what_is_lost() -> None:
    """Loss, copies, delay and disorder together: everything else arrives."""
    plan = plan_of(lose=0.1, duplicate=0.1, delay=0.1, reorder=0.1)
    plan.settings = FaultSettings(plan.settings.rates, event_delay_s=0.05)
    arrived = delivered(plan)
    lost = [int(key) for kind, key in plan.subjects if kind == "lose"]
    assert sorted([*set(arrived), *lost]) == list(range(400))
    assert len(arrived) == 400 - len(lost) + plan.injected["duplicate"]


APP = """
import os
def lambda_handler(event, context):
    with open(event["path"], "a") as file: file.write("x")
    return {"served": True}
"""


STRUCK = [
    ("kill-handler", "Runtime.ExitError", "signal: killed"),
    ("kill-response", "Runtime.ExitError", "signal: killed"),
    ("kill-init", "Runtime.ExitError", "signal: killed"),
    ("hang-init", "Sandbox.Timedout", "timed out after 2"),
    ("hang-handler", "Sandbox.Timedout", "timed out after 2"),
]


def test_environments_are_struck(tmp_path: Path) -> None:
    """Killed and hung environments, warm or new, end as Lambda reports it; those of other functions are spared."""
    path = _writable(tmp_path)

    async def scenario() -> None:
        board = FaultBoard()
        async with executor(tmp_path, faults=board, model=ServiceModel(init_limit_s=2)) as running:
            struck, spared = (function(tmp_path, name, APP, timeout_s=2) for name in ("probe", "other"))
            for spec in (struck, spared):
                await _served(running, spec, path)
            for kind, error_type, words in STRUCK:
                board.set(FaultSettings({kind: 1}, function="probe"))
                document, _ = await fault(running, struck, path=str(path))
                assert (kind, document["errorType"]) == (kind, error_type)
                assert words in document["errorMessage"]
            await _served(running, spared, path)
            # An init phase that failed is run again and struck again.
            assert {kind for kind, count in board.totals.items() if count} == {kind for kind, _, _ in STRUCK}
            # Only before its response has a killed environment done its work.
            assert len(path.read_text()) == 4
            board.clear()
            await _served(running, struck, path)

    asyncio.run(scenario())


def test_hung_handlers_keep_no_share_from_others(tmp_path: Path) -> None:
    """What hangs until its timeout uses no CPU: it counts as active, yet another function's environment starts."""

    async def scenario() -> None:
        board = FaultBoard(FaultSettings({"hang-handler": 1}, function="probe"))
        async with executor(tmp_path, faults=board) as running:
            struck, other = (function(tmp_path, name, memory_mib=3008, timeout_s=60) for name in ("probe", "other"))
            hung = asyncio.create_task(running.invoke(struck, b"{}"))
            await until(lambda: board.totals["hang-handler"] > 0)
            assert (await ask(running, other))["calls"] == 1
            await until(lambda: running.status()["used_vcpu"] == 0)  # `other` has asked for more
            assert (hung.done(), running.status()["functions"]["probe"]["active"]) == (False, 1)
            await running.retire("probe")
            assert (await hung).function_error == "Unhandled"
            assert running.status()["running"] == 0

    asyncio.run(scenario())


def _writable(tmp_path: Path) -> Path:
    """A file that a function can write to, whoever it runs as."""
    path = tmp_path / "served"
    path.touch()
    path.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return path


async def _served(running: LocalExecutor, spec: Any, path: Path) -> None:
    answer = await running.invoke(spec, b'{"path": "%s"}' % str(path).encode())
    assert answer.function_error is None, answer.payload
