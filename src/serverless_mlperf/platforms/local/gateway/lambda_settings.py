"""Settings of a function: checked as Lambda checks them, kept in Lambda's words.

What cannot be honoured here is refused, never dropped: networks, images, file systems, keys, tracing, snapshots.
"""

from collections.abc import Callable, Mapping
import json
import platform
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.errors import not_implemented
from serverless_mlperf.platforms.local.gateway.lambda_errors import (
    check_choice,
    check_list,
    check_mapping,
    check_number,
    check_text,
    invalid,
    refuse_others,
)
from serverless_mlperf.platforms.local.gateway.lambda_state import RUNTIME

ROLE: Final = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
ARCHITECTURE: Final = {"aarch64": "arm64"}.get(platform.machine(), "x86_64")
"""The only one: functions run on the host's processor."""
MEMORY_MIB: Final = range(128, 10_241)
TIMEOUT_S: Final = range(1, 901)
EPHEMERAL_MIB: Final = range(512, 10_241)
MAX_ENVIRONMENT_BYTES: Final = 4096
"""Limits of lambda/latest/dg/gettingstarted-limits."""
LOG_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
RESERVED: Final = frozenset(
    (
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    )
)
"""Variables that are Lambda's own (lambda/latest/dg/configuration-envvars)."""
UNSUPPORTED: Final = {"TracingConfig": ("Mode", "PassThrough"), "SnapStart": ("ApplyOn", "None")}
"""Settings whose default is all there is."""
CONFIGURED: Final = (
    "Role",
    "Handler",
    "Description",
    "Timeout",
    "MemorySize",
    "Environment",
    "DeadLetterConfig",
    "TracingConfig",
    "EphemeralStorage",
    "SnapStart",
    "LoggingConfig",
)
"""What a request may set."""
CheckTarget = Callable[[str], None]
"""Refuses an ARN that asynchronous invocations cannot be sent to."""


def defaults(name: str) -> dict[str, Any]:
    """Settings of a function for which nothing is asked."""
    return {
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "TracingConfig": {"Mode": "PassThrough"},
        "Architectures": [ARCHITECTURE],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    }


def settings_of(values: Mapping[str, Any], base: Mapping[str, Any], check_target: CheckTarget) -> dict[str, Any]:
    """Checked settings of a create or update request; what is not given keeps its present value."""
    if values.get("Runtime", RUNTIME) != RUNTIME:
        raise invalid(f"Runtime {values['Runtime']}: this host runs {RUNTIME} functions only")
    made = dict(base)
    for name in CONFIGURED:
        if values.get(name) is not None:
            made[name] = _READ[name](values[name], base)
    arn = made.get("DeadLetterConfig", {}).get("TargetArn")
    if arn and made.get("DeadLetterConfig") != base.get("DeadLetterConfig"):
        check_target(arn)
    return {name: value for name, value in made.items() if value != {}}


def check_architectures(values: Mapping[str, Any]) -> None:
    """Refuse code for another processor."""
    given = values.get("Architectures") or [ARCHITECTURE]
    for name in check_list(given, "architectures", 1):
        check_choice(name, "architectures", ("x86_64", "arm64"))
    if given != [ARCHITECTURE]:
        raise invalid(f"Architectures {given}: this host runs {ARCHITECTURE} functions only")


def log_variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """What tells the runtime of the log settings (lambda/latest/dg/monitoring-cloudwatchlogs-advanced)."""
    config = settings["LoggingConfig"]
    variables = {"AWS_LAMBDA_LOG_GROUP_NAME": config["LogGroup"], "AWS_LAMBDA_LOG_FORMAT": config["LogFormat"]}
    level = config.get("ApplicationLogLevel")
    return variables | ({"AWS_LAMBDA_LOG_LEVEL": level} if level else {})


def _memory(value: object, _: Mapping[str, Any]) -> int:
    return check_number(value, "memorySize", MEMORY_MIB)


def _timeout(value: object, _: Mapping[str, Any]) -> int:
    return check_number(value, "timeout", TIMEOUT_S)


def _role(value: object, _: Mapping[str, Any]) -> str:
    return check_text(value, "role", ROLE)


def _handler(value: object, _: Mapping[str, Any]) -> str:
    return check_text(value, "handler", r"[^\s]+", 128)


def _description(value: object, _: Mapping[str, Any]) -> str:
    return check_text(value, "description", "", 256)


def _environment(value: object, _: Mapping[str, Any]) -> dict[str, Any]:
    variables = check_mapping(check_mapping(value, "environment").get("Variables") or {}, "environment.variables")
    for name, text in variables.items():
        check_text(name, "environment.variables", "[a-zA-Z]([a-zA-Z0-9_])+")
        check_text(text, f"environment.variables.{name}")
    trouble = "Lambda was unable to configure your environment variables because the environment variables you have "
    reserved = sorted(RESERVED & variables.keys())
    if reserved:
        raise invalid(
            f"{trouble}provided contains reserved keys that are currently not supported for modification. Reserved "
            f"keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode(errors="replace")) > MAX_ENVIRONMENT_BYTES:
        raise invalid(f"{trouble}provided exceeded the 4KB limit. String measured: {measured}")
    return {"Variables": variables} if variables else {}


def _dead_letter(value: object, _: Mapping[str, Any]) -> dict[str, Any]:
    arn = check_text(check_mapping(value, "deadLetterConfig").get("TargetArn") or "", "deadLetterConfig.targetArn")
    return {"TargetArn": arn} if arn else {}


def _storage(value: object, _: Mapping[str, Any]) -> dict[str, Any]:
    size = check_mapping(value, "ephemeralStorage").get("Size")
    return {"Size": check_number(size, "ephemeralStorage.size", EPHEMERAL_MIB)}


def _only(name: str) -> Callable[[object, Mapping[str, Any]], Any]:
    member, default = UNSUPPORTED[name]

    def read(value: object, base: Mapping[str, Any]) -> Any:
        if check_mapping(value, name[0].lower() + name[1:]).get(member, default) != default:
            raise not_implemented(f"{name} other than {default}")
        return base[name]

    return read


def _logging(value: object, base: Mapping[str, Any]) -> dict[str, Any]:
    """JSON is the runtime's: the platform's own lines (START, END, REPORT) stay text."""
    given = check_mapping(value, "loggingConfig")
    refuse_others(given, ("LogFormat", "ApplicationLogLevel", "SystemLogLevel", "LogGroup"), "LoggingConfig")
    made = {**base["LoggingConfig"], **{name: text for name, text in given.items() if text is not None}}
    check_choice(made["LogFormat"], "loggingConfig.logFormat", ("JSON", "Text"))
    check_text(made["LogGroup"], "loggingConfig.logGroup", r"[\.\-_/#A-Za-z0-9]+", 512, 1)
    if made["LogFormat"] == "Text":
        if {"ApplicationLogLevel", "SystemLogLevel"} & given.keys():
            raise invalid("Log levels cannot be set with the log format Text; choose JSON")
        return {name: made[name] for name in ("LogFormat", "LogGroup")}
    made = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **made}
    check_choice(made["ApplicationLogLevel"], "loggingConfig.applicationLogLevel", LOG_LEVELS)
    if made["SystemLogLevel"] != "INFO":
        raise not_implemented("SystemLogLevel other than INFO")
    return made


_READ: Final[dict[str, Callable[[object, Mapping[str, Any]], Any]]] = {
    "Role": _role,
    "Handler": _handler,
    "Description": _description,
    "Timeout": _timeout,
    "MemorySize": _memory,
    "Environment": _environment,
    "DeadLetterConfig": _dead_letter,
    "TracingConfig": _only("TracingConfig"),
    "EphemeralStorage": _storage,
    "SnapStart": _only("SnapStart"),
    "LoggingConfig": _logging,
}
