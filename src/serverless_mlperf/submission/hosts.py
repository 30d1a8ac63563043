"""What is known of the host: of ours, which is all of a local system, and of the one that AWS does not show."""

from collections.abc import Mapping
from typing import Any, Final

from serverless_mlperf.platforms.local.model import cpu_share, visible_cores
from serverless_mlperf.submission.fields import SYSTEM_KEYS, UNKNOWN
from serverless_mlperf.submission.tested import System

LOOPBACK: Final = "N/A: loopback on one host"
VIRTUAL: Final = "N/A: a virtual machine, which does not show it"
AWS: Final = "N/A: AWS Lambda does not disclose it"
_CONNECTIONS: Final = "a pool that is kept alive; its size is in the sources of the transport"


def describe_local(system: System) -> dict[str, str | None]:
    """One host that plays client, network and service; what it does not show is None."""
    host, hardware = system.host, system.host.get("hardware", {})
    hidden = VIRTUAL if host.get("virtualised") else None
    cards = hardware.get("network_cards")
    caches = hardware.get("caches")
    return {
        # Research, development or internal: an emulation of a service is not an available system.
        "status": "rdi",
        "system_type_detail": "local platform: client, service and functions on one host",
        "number_of_nodes": "1",
        "host_processor_model_name": host.get("cpu_model"),
        "host_processors_per_node": _text(hardware.get("processors")),
        "host_processor_core_count": _text(hardware.get("cores_per_processor")),
        "host_processor_frequency": _text(hardware.get("max_mhz"), " MHz at most") or "N/A: the kernel does not say",
        "host_processor_caches": ", ".join(caches) if caches else "N/A: the kernel does not say",
        "host_processor_interconnect": "N/A: one processor" if hardware.get("processors") == 1 else hidden or UNKNOWN,
        "host_memory_capacity": _text(host.get("memory_mib"), " MiB"),
        "host_memory_configuration": hidden,
        "host_storage_capacity": _text(hardware.get("disk_gib"), " GiB"),
        "host_storage_type": "virtual disk" if hidden else _disk(hardware.get("disk_rotates")),
        "host_networking": LOOPBACK,
        "host_networking_topology": LOOPBACK,
        "host_network_card_count": None if cards is None else f"{len(cards)}, none of them used: loopback on one host",
        "operating_system": _operating_system(host),
        "cooling": hidden,
        "hw_notes": _function_notes(system, hardware.get("machine"), "as the platform's controller enforces it")
        + (", in a virtual machine" if hidden else ""),
        **dict.fromkeys(("network_type", "network_media", "network_rate", "nic_loadgen", "nic_sut"), LOOPBACK),
        "number_nic_loadgen": "0",
        "number_nic_sut": "0",
        "net_software_stack_loadgen": f"Linux {host.get('kernel')} TCP, aiohttp",
        "net_software_stack_sut": f"Linux {host.get('kernel')} TCP, asyncio",
        "network_protocol": "HTTP/1.1 over TCP/IPv4",
        "number_connections": _CONNECTIONS,
        "network_topology": "client, S3, SQS, Lambda's front and the functions' environments are processes of one host",
    }


def describe_aws(system: System) -> dict[str, str | None]:
    """What a client can know of the service; what lies between them only its user knows."""
    host, memory_mib = system.host, system.entries[0].cell.memory_mib
    hidden = [key for key in SYSTEM_KEYS if key.startswith("host_")]
    client = f"client: {host.get('cpu_model')}, {host.get('cores')} cores, {host.get('memory_mib')} MiB"
    return {
        **dict.fromkeys(hidden, AWS),
        "status": "available",
        "system_type_detail": "cloud",
        "number_of_nodes": str(_environments(system)),
        "host_processor_core_count": f"{visible_cores(memory_mib)} visible",
        "host_memory_capacity": f"{memory_mib} MB per function",
        "operating_system": AWS,
        "cooling": AWS,
        "hw_notes": f"{_function_notes(system, system.entries[0].cell.architecture, 'by AWS documents')}; {client}",
        **dict.fromkeys(("network_type", "network_media", "network_rate", "nic_loadgen", "number_nic_loadgen")),
        "nic_sut": AWS,
        "number_nic_sut": AWS,
        "net_software_stack_loadgen": f"Linux {host.get('kernel')} TCP, TLS, aiohttp",
        "net_software_stack_sut": AWS,
        "network_protocol": "HTTPS over TCP/IP",
        "number_connections": _CONNECTIONS,
        "network_topology": "the client reaches S3, SQS and Lambda by their public endpoints",
    }


def _function_notes(system: System, machine: object, source: str) -> str:
    memory_mib = system.entries[0].cell.memory_mib
    share = f"{cpu_share(memory_mib):.2f} vCPU {source}"
    return f"{machine or 'unnamed'} function of {memory_mib} MB: {share}, environments: {_environments(system)}"


def _environments(system: System) -> int:
    """The most that served one run."""
    return max(len(run.driver.environments) for run in system.runs)


def _operating_system(host: Mapping[str, Any]) -> str | None:
    name, kernel = host.get("hardware", {}).get("operating_system"), host.get("kernel")
    return f"{name}, Linux {kernel}" if name and kernel else None


def _disk(rotates: bool | None) -> str | None:
    return None if rotates is None else "hard disk" if rotates else "SSD"


def _text(value: object, unit: str = "") -> str | None:
    return None if value is None else f"{value}{unit}"
