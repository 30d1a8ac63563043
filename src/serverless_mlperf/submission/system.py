"""The description of one system: a function of one engine and memory size, where it ran, and who asked."""

from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.submission.benchmarks import DIVISION
from serverless_mlperf.submission.fields import NETWORK_KEYS, SYSTEM_KEYS, Found
from serverless_mlperf.submission.hosts import describe_aws, describe_local
from serverless_mlperf.submission.tested import System

NO_ACCELERATOR: Final = "N/A: no accelerator"
_ENGINES: Final = {"ie-ir": "OpenVINO", "ocv-cf": "OpenCV with Caffe models", "ocv-tf": "OpenCV with TensorFlow models"}
_PLATFORMS: Final = {"local": describe_local, "aws": describe_aws}


def describe_system(system: System, org: str) -> Found:
    """All keys of systems/<system>.json; None for what the results do not say. Raises InputError."""
    platform = system.settings.get("platform")
    if platform not in _PLATFORMS:
        raise InputError(f"{system.name}: platform {platform!r} is unknown; one of {', '.join(_PLATFORMS)}")
    values = {
        "division": DIVISION,
        "submitter": org,
        # The vision workloads are in the edge suite, network mode is in the datacenter suite.
        "system_type": "datacenter,edge",
        **_software(system),
        **dict.fromkeys((key for key in SYSTEM_KEYS if key.startswith("accelerator_")), NO_ACCELERATOR),
        "accelerators_per_node": "0",
        "is_network": str(system.named_as_network),
        **_PLATFORMS[platform](system),
    }
    return {key: values[key] for key in (*SYSTEM_KEYS, *NETWORK_KEYS)}


def _software(system: System) -> dict[str, str | None]:
    host, entry = system.host, system.entries[0]
    engines = {f"{run.result.engine.get('name')} {run.result.engine.get('version')}" for run in system.runs}
    packages = " ".join(f"{name} {version}" for name, version in host.get("packages", {}).items())
    return {
        "system_name": f"serverless-mlperf, {_where(system)}: function of {entry.cell.memory_mib} MB, "
        f"{_ENGINES[entry.cell.engine_and_format]}",
        "framework": ", ".join(sorted(engines)) if all(run.result.engine for run in system.runs) else None,
        "other_software_stack": f"Python {host['python']}, {packages}" if "python" in host and packages else None,
        "sw_notes": _software_notes(system),
    }


def _where(system: System) -> str:
    return "AWS Lambda" if system.settings.get("platform") == "aws" else "Lambda emulated on one host"


def _software_notes(system: System) -> str:
    settings, environment = system.settings, system.runs[0].experiment.environment
    revisions = {str(run.experiment.environment.get("host", {}).get("revision")) for run in system.runs}
    transport = settings.get("transport")
    way = f"{transport}, payload {settings.get('payload')}" if transport == "invoke" else transport
    threads = {str(run.result.engine.get("threads")) for run in system.runs}
    return (
        f"serverless-mlperf {environment.get('version')}, revision {', '.join(sorted(revisions))}; transport {way}; "
        f"engine threads {', '.join(sorted(threads))}, precision {settings.get('precision')}"
    )
