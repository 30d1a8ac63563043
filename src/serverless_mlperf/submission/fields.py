"""The keys that the checker asks for, and values for those that no measurement shows.

Keys and rules are those of mlcommons/inference tools/submission/submission_checker/constants.py @001d64ca, from
SYSTEM_DESC_REQUIRED_FIELDS to SYSTEM_IMP_REQUIRED_FILES. The checker takes 0 for empty: numbers are strings.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from serverless_mlperf.errors import InputError

SYSTEM_KEYS: Final = (
    "division",
    "submitter",
    "status",
    "system_name",
    "number_of_nodes",
    "host_processor_model_name",
    "host_processors_per_node",
    "host_processor_core_count",
    "host_memory_capacity",
    "host_storage_capacity",
    "host_storage_type",
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_memory_capacity",
    "framework",
    "operating_system",
    "system_type",
    "other_software_stack",
    "host_processor_frequency",
    "host_processor_caches",
    "host_memory_configuration",
    "host_processor_interconnect",
    "host_networking",
    "host_networking_topology",
    "accelerator_frequency",
    "accelerator_host_interconnect",
    "accelerator_interconnect",
    "accelerator_interconnect_topology",
    "accelerator_memory_configuration",
    "accelerator_on-chip_memories",
    "cooling",
    "hw_notes",
    "sw_notes",
    "host_network_card_count",
    "system_type_detail",
)
NETWORK_KEYS: Final = (
    "is_network",
    "network_type",
    "network_media",
    "network_rate",
    "nic_loadgen",
    "number_nic_loadgen",
    "net_software_stack_loadgen",
    "network_protocol",
    "number_connections",
    "nic_sut",
    "number_nic_sut",
    "net_software_stack_sut",
    "network_topology",
)
MEASUREMENT_KEYS: Final = (
    "input_data_types",
    "retraining",
    "starting_weights_filename",
    "weight_data_types",
    "weight_transformations",
)
UNKNOWN: Final = "unknown: not recorded with the results"
_FIXED: Final = {
    "division": "it is always open",
    "submitter": "give --org",
    "is_network": "it follows from LoadGen's logs",
}
_CHOICES: Final = {
    "status": ("available", "preview", "rdi"),
    "system_type": ("datacenter", "edge", "datacenter,edge"),
}
_WHOLE_NUMBERS: Final = ("number_of_nodes", "accelerators_per_node")
"""The checker multiplies them (results.py, total_accelerators)."""

Found = Mapping[str, str | None]
"""Key -> what the results say of it; None where they say nothing."""


def parse_fields(given: Sequence[str]) -> dict[str, str]:
    """Read `KEY=VALUE` words; raises InputError for a key that may not be given or a value that cannot be."""
    fields = {}
    for word in given:
        key, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not value:
            raise InputError(f"--field {word!r}: give it as KEY=VALUE")
        _check(key, value)
        fields[key] = value
    return fields


def completed(where: str, found: Found, given: Mapping[str, str], *, allow_unknown: bool) -> dict[str, str]:
    """Fill in what was given; it wins over what was found. Raises InputError naming all that nobody knows."""
    values = {key: given.get(key, value) for key, value in found.items()}
    unknown = [key for key, value in values.items() if value is None]
    if unknown and not allow_unknown:
        raise InputError(
            f"{where}: {', '.join(unknown)}: the results do not say; give each with --field KEY=VALUE, "
            "or add --allow-incomplete to write it as unknown"
        )
    return {key: UNKNOWN if value is None else value for key, value in values.items()}


def _check(key: str, value: str) -> None:
    if key in _FIXED:
        raise InputError(f"--field {key}: {_FIXED[key]}")
    known = (*SYSTEM_KEYS, *NETWORK_KEYS, *MEASUREMENT_KEYS)
    if key not in known:
        settable = ", ".join(name for name in known if name not in _FIXED)
        raise InputError(f"--field {key}: no such key; one of {settable}")
    if key in _CHOICES and value not in _CHOICES[key]:
        raise InputError(f"--field {key}={value}: one of {', '.join(map(repr, _CHOICES[key]))}")
    if key in _WHOLE_NUMBERS and not (value.isascii() and value.isdecimal()):
        raise InputError(f"--field {key}={value}: must be a whole number")
