"""Faults on demand: what is to go wrong, how often and with whom; and what has been made to."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
import random
from typing import Any, Final, Self

from serverless_mlperf.errors import InputError

EVENT_KINDS: Final = ("lose", "duplicate", "delay", "reorder")
ENVIRONMENT_KINDS: Final = ("kill-init", "hang-init", "kill-handler", "hang-handler", "kill-response")
S3_KINDS: Final = ("s3-error", "s3-slowdown", "s3-slow", "s3-truncate", "s3-cut")
KINDS: Final = (*EVENT_KINDS, *ENVIRONMENT_KINDS, *S3_KINDS)
MAX_SEED: Final = 2**31 - 1
MAX_DELAY_S: Final = 3600.0
SUBJECTS_KEPT: Final = 100_000
"""The last faults whose subjects can be asked for; all are counted."""


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """Rates by kind, the seed of their generators, and whom they concern; checked when made."""

    rates: Mapping[str, float] = field(default_factory=dict)
    """Kind -> share of its occasions, 0..1."""
    seed: int = 0
    function: str = ""
    """Only events for, and environments of, the function of this name; empty: any function, and queues."""
    prefix: str = ""
    """Only objects, and events of objects, whose keys begin so."""
    event_delay_s: float = 1.0
    """How much later a delayed event comes, and how long a reordered one waits for another to overtake it."""
    s3_delay_s: float = 1.0
    """How much later S3 answers when it is slow."""

    def __post_init__(self) -> None:
        """Raise InputError, in one line, for what is no setting."""
        if not isinstance(self.rates, Mapping):
            raise InputError('faults: rates must be an object of kinds and rates, e.g. {"lose": 0.01}')
        for kind, rate in self.rates.items():
            if kind not in KINDS:
                raise InputError(f"faults: {kind!r} is no kind of fault; known are {', '.join(KINDS)}")
            _check_number(f"the rate of {kind}", rate, 1)
        if type(self.seed) is not int or not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"faults: seed must be a whole number from 0 to {MAX_SEED}")
        for name in ("function", "prefix"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"faults: {name} must be a text")
        for name in ("event_delay_s", "s3_delay_s"):
            _check_number(name, getattr(self, name), MAX_DELAY_S)

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Settings from a JSON document; raises InputError."""
        known = [each.name for each in fields(cls)]
        if not isinstance(document, dict):
            raise InputError(f"faults: not a JSON object with {', '.join(known)}")
        for name in document:
            if name not in known:
                raise InputError(f"faults: {name!r} is no setting; known are {', '.join(known)}")
        return cls(**document)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Settings from `lose=0.01,s3-slow=0.1,seed=7`: kinds and other settings by name; raises InputError."""
        document: dict[str, Any] = {}
        rates: list[str] = []
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = item.partition("=")
            setting = name.replace("-", "_")
            if setting in ("function", "prefix"):
                document[setting] = value
            elif setting in ("seed", "event_delay_s", "s3_delay_s"):
                document[setting] = _number(item)
            else:
                rates.append(item)
        return cls.from_document({**document, "rates": rates_of(rates)})

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """In one line, as `from_text` reads it; what is as by default is left out."""
        standard = FaultSettings()
        parts = [f"{kind}={rate:g}" for kind, rate in self.rates.items()]
        names = [each.name for each in fields(self) if each.name != "rates"]
        parts += [
            f"{name}={value}"
            for name in names
            if (value := getattr(self, name)) != getattr(standard, name) or name == "seed"
        ]
        return ",".join(parts)

    def concerns_function(self, name: str) -> bool:
        """Whether the environments of a function may be struck."""
        return self.function in ("", name)

    def concerns_event(self, target: str, key: str) -> bool:
        """Whether an event about a key for a target, an ARN, may be struck: a queue has no function's name."""
        return key.startswith(self.prefix) and (not self.function or target.split(":")[6:7] == [self.function])


class FaultPlan:
    """Decides, each kind by a generator of its own: what one kind does never depends on which others are asked for.

    The n-th decision of a kind is the same for the same seed. Which event or request is the n-th is the load's
    business.
    """

    def __init__(self, settings: FaultSettings, totals: Counter[str]) -> None:
        self.settings = settings
        self.occasions: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self.subjects: deque[tuple[str, str]] = deque(maxlen=SUBJECTS_KEPT)
        self._totals = totals
        self._generators = {
            kind: random.Random(f"{settings.seed}/{kind}")  # noqa: S311 - reproducible, not secret
            for kind, rate in settings.rates.items()
            if rate > 0
        }

    def draws(self, kind: str) -> bool:
        """The next decision of a kind; what is carried out is to be noted."""
        generator = self._generators.get(kind)
        if generator is None:
            return False
        self.occasions[kind] += 1
        return generator.random() < self.settings.rates[kind]

    def note(self, kind: str, subject: str) -> None:
        """Count what has been made to go wrong, and with what."""
        self.injected[kind] += 1
        self._totals[kind] += 1
        self.subjects.append((kind, subject))

    def strikes(self, kind: str, subject: str) -> bool:
        """Draw, and note what is due."""
        due = self.draws(kind)
        if due:
            self.note(kind, subject)
        return due


class FaultBoard:
    """What everyone who may inject a fault looks at: one attribute, None as a rule."""

    def __init__(self, settings: FaultSettings | None = None) -> None:
        self.plan: FaultPlan | None = None
        self.totals: Counter[str] = Counter()
        """Injected since the server began, by all plans."""
        if settings is not None:
            self.set(settings)

    def set(self, settings: FaultSettings) -> None:
        """Begin anew: generators and counts of the plan."""
        self.plan = FaultPlan(settings, self.totals)

    def clear(self) -> None:
        """From now on nothing goes wrong on demand."""
        self.plan = None

    def status(self) -> dict[str, Any]:
        """What is set, and how often each kind has struck: of the present plan, and in all."""
        plan = self.plan
        return {
            "faults": plan.settings.as_document() if plan else None,
            "occasions": dict(plan.occasions) if plan else {},
            "injected": dict(plan.injected) if plan else {},
            "injected_in_all": dict(self.totals),
        }

    def summary(self) -> str | None:
        """What is set and what it has done, or what was done before it was cleared, in one line; None: neither."""
        if self.plan is None and not self.totals:
            return None
        counts = self.plan.injected if self.plan else self.totals
        injected = ", ".join(f"{kind} {count}" for kind, count in counts.items())
        return f"{self.plan.settings.as_text() if self.plan else 'cleared'}; injected: {injected or 'none'}"

    def subjects(self, kind: str) -> list[str]:
        """Keys, requests or environments that a kind of the present plan has struck; of all kinds, the last 100,000."""
        return [subject for name, subject in self.plan.subjects if name == kind] if self.plan else []


def rates_of(items: Iterable[str]) -> dict[str, float]:
    """Kinds and rates from texts like `lose=0.01`; raises InputError."""
    return {item.partition("=")[0]: _number(item) for item in items}


def _check_number(what: str, value: object, most: float) -> None:
    if type(value) not in (int, float) or not 0 <= value <= most:  # type: ignore[operator]
        raise InputError(f"faults: {what} must be a number from 0 to {most:g}, not {str(value)[:40]!r}")


def _number(item: str) -> int | float:
    """The number of `NAME=NUMBER`."""
    text = item.partition("=")[2]
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise InputError(f"faults: {item[:60]!r} is no KIND=RATE or SETTING=NUMBER; e.g. lose=0.01,seed=7") from None
