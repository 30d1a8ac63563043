"""The bill of materials of packages: CycloneDX 1.6, the same for the same packages (no times, no random numbers)."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distribution
import json
import platform
from typing import Any, Final

from serverless_mlperf import __version__
from serverless_mlperf.packages.archive import Package

SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_PROJECT: Final = "serverless-mlperf"


def bill_of_materials(packages: Sequence[Package]) -> str:
    """JSON text: every zip with its digest, and in it the distributions it is made of, with versions and licences."""
    document = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": _distribution(_PROJECT, __version__, "", "application"),
            "properties": _properties({"python": platform.python_version(), "architecture": platform.machine()}),
        },
        "components": [_zip(package) for package in packages],
    }
    return json.dumps(document, indent=2) + "\n"


def _zip(package: Package) -> dict[str, Any]:
    name = package.path.name
    sizes = {"zip-bytes": package.zip_bytes, "unzipped-bytes": package.unzipped_bytes, "members": package.members}
    inside = [_distribution(n, v, f"{name}/") for n, v in sorted(package.versions.items()) if n != "python"]
    return {
        "type": "file",
        "bom-ref": name,
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": package.sha256}],
        "properties": _properties({"python": package.versions["python"], **sizes}),
        **({"components": inside} if inside else {}),
    }


def _distribution(name: str, version: str, where: str, kind: str = "library") -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": f"{where}{name}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "licenses": list(_licences(name)),
    }


def _licences(name: str) -> Iterator[dict[str, Any]]:
    """What the metadata say: an SPDX expression (PEP 639), else a name, else the classifiers' names."""
    about = distribution(name).metadata
    classifiers = [text for text in about.get_all("Classifier") or () if text.startswith("License :: ")]
    if expressions := about.get_all("License-Expression"):
        yield {"expression": expressions[0]}
    elif names := [text for text in about.get_all("License") or () if "\n" not in text]:
        yield {"license": {"name": names[0]}}  # some put the whole licence there
    else:
        yield from ({"license": {"name": text.rpartition(" :: ")[2]}} for text in classifiers)


def _properties(values: Mapping[str, object]) -> list[dict[str, str]]:
    return [{"name": f"{_PROJECT}:{name}", "value": str(value)} for name, value in values.items()]
