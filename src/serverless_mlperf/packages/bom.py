"""The bill of materials of packages: CycloneDX 1.6, the same for the same packages (no times, no random numbers)."""

from collections.abc import Iterator, Mapping, Sequence
from email.parser import BytesParser
from importlib.metadata import distribution
import json
import platform
import re
from typing import Any, Final, Protocol
import zipfile

from serverless_mlperf import __version__
from serverless_mlperf.packages.archive import Package
from serverless_mlperf.packages.target import BuildTarget

SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_PROJECT: Final = "serverless-mlperf"


class _Metadata(Protocol):
    """What a distribution says of itself, from a file in a zip or installed here."""

    def get_all(self, name: str, failobj: Any = None) -> Any:
        """All values of a field."""


def bill_of_materials(packages: Sequence[Package], target: BuildTarget | None = None) -> str:
    """JSON text: every zip with its digest, and in it the distributions it is made of, with versions and licences.

    For a target each distribution also names its wheel with the digest it was held to.
    """
    python, architecture = platform.python_version(), platform.machine()
    if target:
        python, architecture = target.python, target.architecture
    document = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": _distribution(_PROJECT, __version__, "", distribution(_PROJECT).metadata, "application"),
            "properties": _properties({"python": python, "architecture": architecture}),
        },
        "components": [_zip(package) for package in packages],
    }
    return json.dumps(document, indent=2) + "\n"


def _zip(package: Package) -> dict[str, Any]:
    name = package.path.name
    sizes = {"zip-bytes": package.zip_bytes, "unzipped-bytes": package.unzipped_bytes, "members": package.members}
    about = {"python": package.versions["python"], "bytecode": package.bytecode or "none", **sizes}
    inside = list(_inside(package))
    return {
        "type": "file",
        "bom-ref": name,
        "name": name,
        "hashes": [_sha256(package.sha256)],
        "properties": _properties(about),
        **({"components": inside} if inside else {}),
    }


def _inside(package: Package) -> Iterator[dict[str, Any]]:
    said = _metadata(package)
    for name, version in sorted(package.versions.items()):
        if name != "python":
            wheel = package.wheels.get(name)
            made = _distribution(name, version, f"{package.path.name}/", said[_normal(name)])
            yield {**made, **({"externalReferences": [_wheel(wheel)]} if wheel else {})}


def _metadata(package: Package) -> dict[str, _Metadata]:
    """What the distributions in a zip say of themselves, by their normalised names."""
    with zipfile.ZipFile(package.path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        found = [BytesParser().parsebytes(archive.read(name)) for name in names]
    return {_normal(each["Name"]): each for each in found}


def _normal(name: str) -> str:
    """A distribution's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _wheel(link: str) -> dict[str, Any]:
    file, _, digest = link.partition("#sha256=")
    return {"type": "distribution", "url": file, "hashes": [_sha256(digest)]}


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def _distribution(name: str, version: str, where: str, said: _Metadata, kind: str = "library") -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": f"{where}{name}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "licenses": list(_licences(said)),
    }


def _licences(said: _Metadata) -> Iterator[dict[str, Any]]:
    """What the metadata say: an SPDX expression (PEP 639), else a name, else the classifiers' names."""
    classifiers = [text for text in said.get_all("Classifier") or () if text.startswith("License :: ")]
    if expressions := said.get_all("License-Expression"):
        yield {"expression": expressions[0]}
    elif names := [text for text in said.get_all("License") or () if "\n" not in text]:
        yield {"license": {"name": names[0]}}  # some put the whole licence there
    else:
        yield from ({"license": {"name": text.rpartition(" :: ")[2]}} for text in classifiers)


def _properties(values: Mapping[str, object]) -> list[dict[str, str]]:
    return [{"name": f"{_PROJECT}:{name}", "value": str(value)} for name, value in values.items()]
