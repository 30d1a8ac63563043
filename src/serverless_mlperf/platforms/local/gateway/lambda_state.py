"""What Lambda keeps: functions with their versions, aliases, policies and URLs, and layers; values without HTTP.

Every change passes `LambdaState.changed`, and everything is made of plain values: to persist it no more is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
import sys
from typing import Any, Final, Literal, Self
import uuid

from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST, function_arn, layer_arn
from serverless_mlperf.platforms.local.gateway.lambda_zips import StoredZip, ZipFolder
from serverless_mlperf.platforms.local.model import FunctionSpec

RUNTIME: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""The only one: functions run on the host's Python."""
Kind = Literal["function", "layer"]
Document = dict[str, Any]
"""Plain JSON values."""
Changed = Callable[[Kind, str], None]
"""Told of each change: its kind and name; `LambdaState.document` says what there is now. At once, on the event loop."""


@dataclass(frozen=True, slots=True)
class LayerRef:
    """A layer version in a function, which keeps it when the version is deleted."""

    arn: str
    content: StoredZip

    def as_document(self) -> Document:
        """Plain values."""
        return {"arn": self.arn, "content": self.content.as_document()}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a revision is on its way (lambda/latest/dg/functions-states)."""

    state: str = "Pending"
    reason: str = "The function is being created."
    reason_code: str = "Creating"
    update: str | None = None
    """LastUpdateStatus; there is none before a revision is ready."""
    update_reason: str = ""
    update_reason_code: str = ""


CREATING: Final = Progress()
READY: Final = Progress("Active", "", "")


@dataclass(frozen=True, slots=True)
class Revision:
    """Code and configuration: `$LATEST` as it is now, or a published version."""

    version: str
    code: StoredZip
    layers: tuple[LayerRef, ...]
    settings: Mapping[str, Any]
    """Handler, Role, MemorySize and the like, in Lambda's words."""
    build_id: str
    """Changes with code and configuration: an environment belongs to one."""
    revision_id: str
    """Lambda's RevisionId: changes with the policy, too."""
    modified: str
    progress: Progress = CREATING

    def as_document(self) -> Document:
        """Plain values."""
        return {
            "version": self.version,
            "code": self.code.as_document(),
            "layers": [layer.as_document() for layer in self.layers],
            "settings": dict(self.settings),
            "build_id": self.build_id,
            "revision_id": self.revision_id,
            "modified": self.modified,
            "progress": asdict(self.progress),
        }

    @classmethod
    def from_document(cls, document: Document, zips: ZipFolder) -> Self:
        """The inverse."""
        return cls(
            **{
                **document,
                "code": zips.stored(document["code"]),
                "layers": tuple(LayerRef(row["arn"], zips.stored(row["content"])) for row in document["layers"]),
                "progress": Progress(**document["progress"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a version, or for two with weights."""

    name: str
    version: str
    description: str
    weights: Mapping[str, float]
    """Shares of other versions; the rest goes to `version`."""
    revision_id: str


@dataclass(frozen=True, slots=True)
class EventInvoke:
    """What becomes of asynchronous events; None: Lambda's default."""

    retries: int | None
    max_age_s: int | None
    on_success: str | None
    on_failure: str | None
    modified_s: float
    """Unix time."""


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """An HTTP address of a function or alias."""

    id: str
    auth_type: str
    cors: Mapping[str, Any]
    created: str
    modified: str


@dataclass(slots=True)
class Function:
    """One function; dictionaries without another key are by qualifier, `$LATEST` the function's own."""

    name: str
    latest: Revision
    serving: Revision | None = None
    """What `$LATEST` runs: the former revision while an update is under way, None before the first is ready."""
    versions: dict[str, Revision] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    next_version: int = 1
    tags: dict[str, str] = field(default_factory=dict)
    reserved_concurrency: int | None = None
    event_invoke: dict[str, EventInvoke] = field(default_factory=dict)
    policies: dict[str, dict[str, Document]] = field(default_factory=dict)
    """Statements by id."""
    urls: dict[str, FunctionUrl] = field(default_factory=dict)
    specs: dict[str, FunctionSpec] = field(default_factory=dict)
    """Made on use, by qualifier and version; forgotten with every change."""
    granted: dict[tuple[str, str], bool] = field(default_factory=dict)
    """What the policy was asked, by qualifier and source, and what it said; forgotten likewise."""

    @property
    def arn(self) -> str:
        """ARN of the function."""
        return function_arn(self.name)

    def revision(self, version: str) -> Revision | None:
        """A published version, or `$LATEST`."""
        return self.latest if version == LATEST else self.versions.get(version)

    def touch(self, qualifier: str) -> None:
        """Give a version or alias a new RevisionId: its policy has changed."""
        if qualifier in self.aliases:
            self.aliases[qualifier] = replace(self.aliases[qualifier], revision_id=new_id())
        elif qualifier in self.versions:
            self.versions[qualifier] = replace(self.versions[qualifier], revision_id=new_id())
        else:
            self.latest = replace(self.latest, revision_id=new_id())

    def as_document(self) -> Document:
        """Plain values."""
        return {
            "name": self.name,
            "latest": self.latest.as_document(),
            "serving": None if self.serving is None else self.serving.as_document(),
            "versions": {number: revision.as_document() for number, revision in self.versions.items()},
            "aliases": {name: asdict(alias) for name, alias in self.aliases.items()},
            "next_version": self.next_version,
            "tags": dict(self.tags),
            "reserved_concurrency": self.reserved_concurrency,
            "event_invoke": {qualifier: asdict(config) for qualifier, config in self.event_invoke.items()},
            "policies": {qualifier: dict(statements) for qualifier, statements in self.policies.items()},
            "urls": {qualifier: asdict(url) for qualifier, url in self.urls.items()},
        }

    @classmethod
    def from_document(cls, document: Document, zips: ZipFolder) -> Self:
        """The inverse."""
        versions = {number: Revision.from_document(row, zips) for number, row in document["versions"].items()}
        serving = document["serving"]
        return cls(
            **{
                **document,
                "latest": Revision.from_document(document["latest"], zips),
                "serving": None if serving is None else Revision.from_document(serving, zips),
                "versions": versions,
                "aliases": {name: Alias(**row) for name, row in document["aliases"].items()},
                "event_invoke": {key: EventInvoke(**row) for key, row in document["event_invoke"].items()},
                "urls": {key: FunctionUrl(**row) for key, row in document["urls"].items()},
            }
        )


@dataclass(frozen=True, slots=True)
class LayerVersion:
    """One version of a layer."""

    name: str
    version: int
    content: StoredZip
    description: str
    created: str
    license_info: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        """ARN of the version."""
        return layer_arn(self.name, self.version)

    def as_document(self) -> Document:
        """Plain values."""
        rows = {"runtimes": list(self.runtimes), "architectures": list(self.architectures)}
        texts = {name: getattr(self, name) for name in ("name", "version", "description", "created", "license_info")}
        return {**texts, **rows, "content": self.content.as_document()}

    @classmethod
    def from_document(cls, document: Document, zips: ZipFolder) -> Self:
        """The inverse."""
        rows = {name: tuple(document[name]) for name in ("runtimes", "architectures")}
        return cls(**{**document, **rows, "content": zips.stored(document["content"])})


@dataclass(slots=True)
class Layer:
    """A layer's versions; a number is never used again."""

    name: str
    versions: dict[int, LayerVersion] = field(default_factory=dict)
    next_version: int = 1

    def as_document(self) -> Document:
        """Plain values."""
        versions = [version.as_document() for version in self.versions.values()]
        return {"name": self.name, "versions": versions, "next_version": self.next_version}

    @classmethod
    def from_document(cls, document: Document, zips: ZipFolder) -> Self:
        """The inverse."""
        versions = [LayerVersion.from_document(row, zips) for row in document["versions"]]
        return cls(document["name"], {version.version: version for version in versions}, document["next_version"])


class LambdaState:
    """All functions and layers."""

    def __init__(self, zips: ZipFolder) -> None:
        self.functions: dict[str, Function] = {}
        self.layers: dict[str, Layer] = {}
        self.zips = zips
        self.listeners: list[Changed] = []

    def changed(self, kind: Kind, name: str) -> None:
        """Something of a function or layer is other than before, or it is gone: the one place all changes pass."""
        if kind == "function" and name in self.functions:
            self.functions[name].specs.clear()
            self.functions[name].granted.clear()
        for listener in self.listeners:
            listener(kind, name)

    def document(self, kind: Kind, name: str) -> Document | None:
        """What there is under a name now; None when it is gone."""
        found = self.functions.get(name) if kind == "function" else self.layers.get(name)
        return None if found is None else found.as_document()

    def restore(self, kind: Kind, document: Document) -> None:
        """Take back what `document` gave; nobody is told."""
        if kind == "function":
            self.functions[document["name"]] = Function.from_document(document, self.zips)
        else:
            self.layers[document["name"]] = Layer.from_document(document, self.zips)

    def zips_in_use(self) -> set[str]:
        """Digests of all zips that a function or layer needs."""
        revisions = [r for f in self.functions.values() for r in (f.latest, f.serving, *f.versions.values()) if r]
        layers = [v.content for layer in self.layers.values() for v in layer.versions.values()]
        stored = [*layers, *(r.code for r in revisions), *(layer.content for r in revisions for layer in r.layers)]
        return {content.sha256 for content in stored}


def new_id() -> str:
    """A new RevisionId."""
    return str(uuid.uuid4())


def moment() -> str:
    """Now, as Lambda writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
