"""The description that lies beside built model files, and the check of the files against it."""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from serverless_mlperf.errors import ModelError

MANIFEST: Final = "manifest.json"
_HINT: Final = "build the models again with `serverless-mlperf models build`"


def _inside(name: str) -> str:
    """Refuse names that point out of the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("file name points out of the folder")
    return name


class WeightsEntry(BaseModel):
    """Which weights the files hold."""

    model_config = ConfigDict(frozen=True)

    source: str
    """Folder of the weights, or `embedded`."""
    digest: str


class FileEntry(BaseModel):
    """One file as built."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size_bytes: int


class Manifest(BaseModel):
    """`manifest.json`. It is written last: a folder without it is unfinished."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    weights: WeightsEntry
    exporter: str
    """Digest of the exporters' sources."""
    tools: dict[str, str]
    """Name -> version of what took part."""
    files: dict[Annotated[str, AfterValidator(_inside)], FileEntry]
    """Path below the folder -> file."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into a folder."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(by_alias=True, indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest; the files themselves are not looked at."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {_HINT}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: not a manifest of models ({where}: {first['msg']}); {_HINT}") from error


def described_files(folder: Path) -> dict[str, FileEntry]:
    """Every file below a folder, by name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileEntry(sha256=_sha256(path), size_bytes=path.stat().st_size)
        for path in paths
    }


def verify_models(folder: Path) -> list[str]:
    """What is wrong with a folder of model files, a line each; nothing when it is as built."""
    try:
        files = read_manifest(folder).files
    except ModelError as error:
        return [str(error)]
    return [problem for name, entry in files.items() if (problem := _problem(folder / name, entry))]


def _problem(path: Path, entry: FileEntry) -> str | None:
    if not path.is_file():
        return f"{path}: missing; {_HINT}"
    if path.stat().st_size != entry.size_bytes or _sha256(path) != entry.sha256:
        return f"{path}: differs from its digest in {MANIFEST}; {_HINT}"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
