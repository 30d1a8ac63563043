"""Functions and layers: configuration as Lambda keeps it, code as content-addressed zips."""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import UTC, datetime
import hashlib
import io
from pathlib import Path
import sys
from typing import Any, Final
import uuid
import zipfile

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.model import ACCOUNT_ID, REGION, FunctionSpec

RUNTIME: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""The only one: functions run on the host's Python."""
MEMORY_MIB: Final = range(128, 10_241)
TIMEOUT_S: Final = range(1, 901)
MAX_LAYERS: Final = 5


@dataclass(frozen=True, slots=True)
class StoredZip:
    """A zip in the data folder."""

    sha256: str
    path: Path
    size: int

    @property
    def code_sha256(self) -> str:
        """As Lambda's API gives it: base64 of the digest."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()


class ZipFolder:
    """Zips by digest; blocking: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, content: bytes) -> StoredZip:
        """Keep a zip; ApiError when it is none."""
        if not zipfile.is_zipfile(io.BytesIO(content)):
            raise invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
        sha256 = hashlib.sha256(content).hexdigest()
        path = self._folder / f"{sha256}.zip"
        if not path.exists():
            partial = path.with_suffix(f".{uuid.uuid4().hex}")
            try:
                partial.write_bytes(content)
                partial.replace(path)
            except OSError as error:
                partial.unlink(missing_ok=True)
                text = f"{path}: cannot be stored ({error.strerror}); free disk space in $TMPDIR"
                raise ApiError(500, "ServiceException", text) from error
        return StoredZip(sha256, path, len(content))


@dataclass(frozen=True, slots=True)
class Layer:
    """One version of a layer."""

    name: str
    version: int
    content: StoredZip
    description: str
    created: str

    @property
    def arn(self) -> str:
        """ARN of the version."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:layer:{self.name}:{self.version}"


@dataclass(slots=True)
class Function:
    """One function: its configuration in Lambda's words."""

    name: str
    code: StoredZip
    layers: tuple[Layer, ...]
    settings: dict[str, Any]
    """Handler, MemorySize, Timeout, Environment, Description, Role, EphemeralStorage."""
    revision_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    modified: str = ""
    reserved_concurrency: int | None = None
    event_invoke: dict[str, Any] = field(default_factory=dict)
    statements: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.touch()

    @property
    def arn(self) -> str:
        """ARN of the function."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.name}"

    def touch(self) -> None:
        """A change of code or configuration: environments of the former revision are not used again."""
        self.revision_id = str(uuid.uuid4())
        self.modified = moment()

    def spec(self) -> FunctionSpec:
        """What the executor runs."""
        return FunctionSpec(
            name=self.name,
            arn=self.arn,
            handler=self.settings["Handler"],
            runtime=RUNTIME,
            memory_mib=self.settings["MemorySize"],
            timeout_s=self.settings["Timeout"],
            revision_id=self.revision_id,
            code_zip=self.code.path,
            code_sha256=self.code.sha256,
            layer_zips=tuple((layer.content.sha256, layer.content.path) for layer in self.layers),
            environment=dict(self.settings["Environment"].get("Variables", {})),
            ephemeral_mib=self.settings["EphemeralStorage"]["Size"],
            reserved_concurrency=self.reserved_concurrency,
            max_retry_attempts=self.event_invoke.get("MaximumRetryAttempts", 2),
        )

    def configuration(self) -> dict[str, Any]:
        """FunctionConfiguration of the API."""
        return {
            "FunctionName": self.name,
            "FunctionArn": self.arn,
            "Runtime": RUNTIME,
            **self.settings,
            "CodeSize": self.code.size,
            "CodeSha256": self.code.code_sha256,
            "LastModified": self.modified,
            "Version": "$LATEST",
            "RevisionId": self.revision_id,
            "Layers": [{"Arn": layer.arn, "CodeSize": layer.content.size} for layer in self.layers],
            "PackageType": "Zip",
            "Architectures": ["x86_64"],
            "State": "Active",
            "LastUpdateStatus": "Successful",
        }


def settings_of(values: dict[str, Any], present: dict[str, Any] | None = None) -> dict[str, Any]:
    """Checked settings of a create or update request; what is not given keeps its present value or default."""
    base = present or {
        "Handler": "",
        "Role": "",
        "Description": "",
        "MemorySize": 128,
        "Timeout": 3,
        "Environment": {"Variables": {}},
        "EphemeralStorage": {"Size": 512},
    }
    made = {**base, **{name: values[name] for name in base if values.get(name) is not None}}
    _check("MemorySize", made["MemorySize"], MEMORY_MIB)
    _check("Timeout", made["Timeout"], TIMEOUT_S)
    if not isinstance(made["Handler"], str) or "." not in made["Handler"]:
        raise invalid(f"Handler {made['Handler']!r} must be of the form module.function")
    if values.get("Runtime", RUNTIME) != RUNTIME:
        raise invalid(f"Runtime {values['Runtime']}: this host runs {RUNTIME} functions only")
    variables = made["Environment"].get("Variables", {})
    if not all(isinstance(v, str) for v in variables.values()):
        raise invalid("Environment variables must be strings")
    return made


def zip_content(encoded: str) -> bytes:
    """A zip sent inline."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("ZipFile is not base64") from None


def invalid(message: str) -> ApiError:
    """InvalidParameterValueException."""
    return ApiError(400, "InvalidParameterValueException", message)


def moment() -> str:
    """Now, as Lambda writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _check(name: str, value: object, allowed: range) -> None:
    if not isinstance(value, int) or value not in allowed:
        raise invalid(f"{name} {value!r} must be from {allowed.start} to {allowed.stop - 1}")
