"""What Lambda says of an invocation in its log: the REPORT line, also as the log tail of a synchronous call.

Format: lambda/latest/dg/python-logging, and snapstart-monitoring for the restore durations. Fields are parted by
tabs (by spaces where a console has shown them); further ones may follow, an XRAY line too.
"""

import base64
import binascii
import re
from typing import Final

from serverless_mlperf.platforms.base import Report

_LINE: Final = re.compile(r"^REPORT RequestId: (\S+)\s([^\r\n]*)", re.MULTILINE)
_FIELD: Final = re.compile(
    r"(?<!\S)(Billed Restore Duration|Restore Duration|Billed Duration|Init Duration|Duration|Memory Size"
    r"|Max Memory Used|Status|Error Type): (\S+)"
)
"""The longer names first: each ends in a shorter one."""
_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")


def tail_report(log_result: str) -> Report | None:
    """Report in an X-Amz-Log-Result header (base64 of the last 4 KiB of the log); None where there is none, whole."""
    try:
        text = base64.b64decode(log_result, validate=True)
    except (ValueError, binascii.Error):
        return None
    return parse_report(text.decode(errors="replace"))


def parse_report(log: str) -> Report | None:
    """Report of the last invocation in a log; None where it has no REPORT line with all that every one has."""
    lines = _LINE.findall(log)
    if not lines:
        return None
    request_id, rest = lines[-1]
    try:
        return _report(request_id, dict(_FIELD.findall(rest)))
    except (KeyError, ValueError):
        return None  # cut off, or not Lambda's


def _report(request_id: str, fields: dict[str, str]) -> Report:
    error_type = fields.get("Error Type")
    restore_ms, billed_restore_ms = (
        _optional(fields, name) for name in ("Restore Duration", "Billed Restore Duration")
    )
    return Report(
        request_id=request_id,
        duration_ms=_number(fields["Duration"]),
        billed_ms=round(_number(fields["Billed Duration"])),
        init_ms=_optional(fields, "Init Duration"),
        memory_mib=round(_number(fields["Memory Size"])),
        max_memory_mib=round(_number(fields["Max Memory Used"])),
        status=fields.get("Status", "error" if error_type else "ok"),
        error_type=error_type,
        restore_ms=restore_ms,
        billed_restore_ms=None if billed_restore_ms is None else round(billed_restore_ms),
    )


def _optional(fields: dict[str, str], name: str) -> float | None:
    return _number(fields[name]) if name in fields else None


def _number(text: str) -> float:
    # float() takes `nan`, `inf` and `1e9` as well.
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text} is no number")
    return float(text)
