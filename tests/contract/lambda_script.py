"""One script of boto3 calls and `aws` commands, to be run against several servers that claim to be Lambda."""

from dataclasses import dataclass
import io
import json
from pathlib import Path
import sys
from typing import Any
import zipfile

from parity_script import Notes, Told

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/parity"
BUCKET = "parity-lambda"
ABSENT = "absent"
SETTINGS = ("FunctionName", "FunctionArn", "Runtime", "Handler", "MemorySize", "Timeout", "Description", "Role",
            "PackageType", "Version", "Environment.Variables", "EphemeralStorage.Size")  # fmt: skip
CODE = ("CodeSha256", "CodeSize")


def zipped(text: str) -> bytes:
    """A package of one module; the same bytes for the same text."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), f"def handler(event, context):\n    return {text!r}\n")
    return content.getvalue()


@dataclass
class Script:
    """Runs the calls on one server."""

    functions: Any
    """A client that checks no parameters: what is wrong is the server's to refuse."""
    s3: Any
    sqs: Any
    notes: Notes

    def note(self, name: str, operation: str, *fields: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation of Lambda and note what it tells; the whole answer."""
        return self.notes.call(self.functions, name, operation, *fields, **parameters)

    def make(self, name: str, **settings: Any) -> dict[str, Any]:
        """A function that is ready, without a note."""
        made: dict[str, Any] = self.functions.create_function(**{**complete(name), **settings})
        self.settled(name)
        return made

    def settled(self, name: str) -> None:
        """Wait until a function serves what it was last told."""
        for waiter in ("function_active_v2", "function_updated_v2"):
            self.functions.get_waiter(waiter).wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 600})


def complete(name: str) -> dict[str, Any]:
    """What a new function needs."""
    code = {"ZipFile": zipped("one")}
    return {"FunctionName": name, "Runtime": RUNTIME, "Role": ROLE, "Handler": "app.handler", "Code": code}


def functions(script: Script) -> None:
    """Create, list, get, update, delete."""
    note, named = script.note, {"FunctionName": "f"}
    variables = {"Environment": {"Variables": {"ONE": "1"}}, "Tags": {"t": "1"}, "EphemeralStorage": {"Size": 1024}}
    given = {**complete("f"), "MemorySize": 256, "Timeout": 7, "Description": "d", **variables}
    note("create", "create_function", *SETTINGS, *CODE, "TracingConfig.Mode", "Architectures", **given)
    script.settled("f")
    note("state", "get_function_configuration", "State", "LastUpdateStatus", **named)
    note("create again", "create_function", **given)
    note("create with defaults", "create_function", *SETTINGS, **complete("g"))
    script.settled("g")
    note("get", "get_function", *(f"Configuration.{f}" for f in SETTINGS), "Tags", "Code.RepositoryType", **named)
    note("get by ARN", "get_function", "Configuration.FunctionName", FunctionName=f"{arn('f')}")
    note("get configuration", "get_function_configuration", *SETTINGS, *CODE, **named)
    note("get absent", "get_function", FunctionName=ABSENT)
    note("get configuration of absent", "get_function_configuration", FunctionName=ABSENT)
    note("list", "list_functions", "Functions.FunctionName")
    note("list one", "list_functions", "Functions.FunctionName", MaxItems=1)
    updates(script)
    note("delete", "delete_function", **named)
    note("delete again", "delete_function", **named)
    note("list the rest", "list_functions", "Functions.FunctionName")


def updates(script: Script) -> None:
    """Changes of a function's settings, code and tags."""
    note, named = script.note, {"FunctionName": "f"}
    settings = {"MemorySize": 512, "Timeout": 9, "Description": "e", "Environment": {"Variables": {"TWO": "2"}}}
    note("update", "update_function_configuration", *SETTINGS, **named, **settings)
    script.settled("f")
    note("updated", "get_function_configuration", *SETTINGS, **named)
    note(
        "update storage",
        "update_function_configuration",
        "EphemeralStorage.Size",
        **named,
        EphemeralStorage={"Size": 512},
    )
    script.settled("f")
    note("update of absent", "update_function_configuration", FunctionName=ABSENT, MemorySize=128)
    note("update code, dry run", "update_function_code", *CODE, **named, ZipFile=zipped("dry"), DryRun=True)
    note("code as before", "get_function_configuration", *CODE, **named)
    note("update code", "update_function_code", *CODE, "Version", **named, ZipFile=zipped("two"))
    script.settled("f")
    note("code updated", "get_function_configuration", *CODE, **named)
    note("update code of absent", "update_function_code", FunctionName=ABSENT, ZipFile=zipped("two"))
    note("tags", "list_tags", "Tags", Resource=arn("f"))
    note("tag", "tag_resource", Resource=arn("f"), Tags={"u": "2"})
    note("untag", "untag_resource", Resource=arn("f"), TagKeys=["t"])
    note("tags changed", "list_tags", "Tags", Resource=arn("f"))
    note("tags of absent", "list_tags", Resource=arn(ABSENT))


OTHER = "00000000-0000-0000-0000-000000000000"
"""No function's revision."""


def arn(function: str) -> str:
    """The ARN of a function."""
    return f"arn:aws:lambda:us-east-1:000000000000:function:{function}"


def versions(script: Script) -> None:
    """Published versions."""
    note, named = script.note, {"FunctionName": "v"}
    script.make("v")
    note("publish", "publish_version", *SETTINGS, *CODE, **named, Description="first")
    script.settled("v")
    note("publish unchanged", "publish_version", "Version", **named)
    note("publish of absent", "publish_version", FunctionName=ABSENT)
    script.functions.update_function_code(**named, ZipFile=zipped("two"))
    script.settled("v")
    note("publish again", "publish_version", "Version", *CODE, **named)
    note("update code and publish", "update_function_code", "Version", **named, ZipFile=zipped("three"), Publish=True)
    script.settled("v")
    note("list versions", "list_versions_by_function", "Versions.Version", "Versions.CodeSha256", **named)
    note("list versions of absent", "list_versions_by_function", FunctionName=ABSENT)
    note("get version", "get_function", "Configuration.Version", "Configuration.FunctionArn", **named, Qualifier="1")
    note("get version by name", "get_function_configuration", "Version", "Description", FunctionName="v:1")
    note("get latest", "get_function_configuration", "Version", "FunctionArn", **named, Qualifier="$LATEST")
    note("get absent version", "get_function", **named, Qualifier="9")
    note("update version", "update_function_configuration", FunctionName="v:1", MemorySize=256)
    note("delete version", "delete_function", **named, Qualifier="1")
    note("delete version again", "delete_function", **named, Qualifier="1")
    note("list versions left", "list_versions_by_function", "Versions.Version", **named)
    aliases(script)
    note("delete latest", "delete_function", **named, Qualifier="$LATEST")


def aliases(script: Script) -> None:
    """Aliases of a function that has versions 2 and 3."""
    note, named = script.note, {"FunctionName": "v"}
    live, fields = {**named, "Name": "live"}, ("Name", "FunctionVersion", "Description", "AliasArn", "RoutingConfig")
    note("alias", "create_alias", *fields, **live, FunctionVersion="2", Description="d")
    note("alias again", "create_alias", **live, FunctionVersion="2")
    note("alias of absent version", "create_alias", **named, Name="x", FunctionVersion="9")
    note("alias of absent function", "create_alias", FunctionName=ABSENT, Name="x", FunctionVersion="1")
    note("get alias", "get_alias", *fields, **live)
    note("get absent alias", "get_alias", **named, Name=ABSENT)
    note("get function by alias", "get_function", "Configuration.Version", **named, Qualifier="live")
    note("list aliases", "list_aliases", "Aliases.Name", "Aliases.FunctionVersion", **named)
    note("list aliases of version", "list_aliases", "Aliases.Name", **named, FunctionVersion="3")
    note("update alias", "update_alias", *fields, **live, FunctionVersion="3")
    weights = {"AdditionalVersionWeights": {"2": 0.25}}
    note("weigh alias", "update_alias", *fields, **live, RoutingConfig=weights)
    note("update absent alias", "update_alias", **named, Name=ABSENT, FunctionVersion="3")
    note("delete aliased version", "delete_function", **named, Qualifier="3")
    note("delete alias", "delete_alias", **live)
    note("delete alias again", "delete_alias", **live)
    note("list no aliases", "list_aliases", "Aliases", **named)


def layers(script: Script) -> None:
    """Layers and functions that have them."""
    note, named = script.note, {"LayerName": "layer"}
    fields = ("LayerArn", "LayerVersionArn", "Version", "Description", "CompatibleRuntimes", "LicenseInfo")
    content = {"Content": {"ZipFile": zipped("layer")}}
    info = {"Description": "d", "CompatibleRuntimes": [RUNTIME], "LicenseInfo": "MIT"}
    made = note("publish layer", "publish_layer_version", *fields, "Content.CodeSha256", **named, **content, **info)
    note("publish layer again", "publish_layer_version", "Version", **named, **content)
    note("publish layer, nothing", "publish_layer_version", **named, Content={})
    note("list layers", "list_layers", "Layers.LayerName", "Layers.LatestMatchingVersion.Version")
    note("list layer versions", "list_layer_versions", "LayerVersions.Version", **named)
    note("list versions of absent layer", "list_layer_versions", "LayerVersions", LayerName=ABSENT)
    note("get layer", "get_layer_version", *fields, **named, VersionNumber=1)
    note("get layer by ARN", "get_layer_version_by_arn", *fields, Arn=made["LayerVersionArn"])
    note("get absent layer version", "get_layer_version", **named, VersionNumber=9)
    note("get version of absent layer", "get_layer_version", LayerName=ABSENT, VersionNumber=1)
    note("create with layer", "create_function", "Layers.Arn", **complete("layered"), Layers=[made["LayerVersionArn"]])
    script.settled("layered")
    note("remove layers", "update_function_configuration", "Layers", FunctionName="layered", Layers=[])
    script.settled("layered")
    script.functions.delete_function(FunctionName="layered")
    note("delete layer", "delete_layer_version", **named, VersionNumber=1)
    note("delete layer again", "delete_layer_version", **named, VersionNumber=1)
    note("list layer versions left", "list_layer_versions", "LayerVersions.Version", **named)
    note("publish layer after all", "publish_layer_version", "Version", **named, **content)


def permissions(script: Script) -> None:
    """A function's policy."""
    note, named = script.note, {"FunctionName": "p"}
    script.make("p")
    grant = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    limits = {"SourceArn": f"arn:aws:s3:::{BUCKET}", "SourceAccount": "000000000000"}

    def statements(name: str) -> None:
        policy = json.loads(note(name, "get_policy", **named).get("Policy", "{}"))
        script.notes.told[f"{name}, statements"] = (policy.get("Version"), policy.get("Id"), policy.get("Statement"))

    statements("no policy")
    answer = note("permit", "add_permission", **named, **grant, **limits)
    script.notes.told["permit, statement"] = (json.loads(answer.get("Statement", "{}")),)
    note("permit on absent", "add_permission", FunctionName=ABSENT, **grant)
    account = {"StatementId": "account", "Principal": "000000000000"}
    note("permit an account", "add_permission", **named, **{**grant, **account})
    statements("policy")
    note("forbid", "remove_permission", **named, StatementId="account")
    note("forbid again", "remove_permission", **named, StatementId="account")
    note("policy of absent", "get_policy", FunctionName=ABSENT)
    statements("policy left")
    notifications(script)


def notifications(script: Script) -> None:
    """A bucket's notifications to function `p`, which it may call, and to what it may not."""

    def put(name: str, *functions: tuple[str, str], events: str = "s3:ObjectCreated:*") -> None:
        rules = [
            {"Id": prefix or "all", "LambdaFunctionArn": arn(function), "Events": [events],
             "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}}
            for function, prefix in functions
        ]  # fmt: skip
        given = {"Bucket": BUCKET, "NotificationConfiguration": {"LambdaFunctionConfigurations": rules}}
        script.notes.call(script.s3, name, "put_bucket_notification_configuration", **given)

    script.make("unpermitted")
    fields = tuple(f"LambdaFunctionConfigurations.{f}" for f in ("Id", "LambdaFunctionArn", "Events"))

    def get(name: str) -> None:
        script.notes.call(script.s3, name, "get_bucket_notification_configuration", *fields, Bucket=BUCKET)

    get("no notifications")
    put("notify", ("p", "in/"))
    get("notifications")
    put("notify of no event", ("p", "in/"), events="s3:ObjectEaten:*")
    put("notify twice", ("p", "in/"), ("p", "in/sub/"))
    put("notify absent", (ABSENT, "in/"))
    put("notify without permission", ("unpermitted", "in/"))
    get("notifications as before")
    put("notify nobody")
    get("notifications removed")


def limits(script: Script) -> None:
    """Reserved concurrency, event-invoke configuration, account."""
    note, named = script.note, {"FunctionName": "l"}
    script.make("l")
    reserved = "ReservedConcurrentExecutions"
    note("no concurrency", "get_function_concurrency", reserved, **named)
    note("reserve", "put_function_concurrency", reserved, **named, ReservedConcurrentExecutions=5)
    note("concurrency", "get_function_concurrency", reserved, **named)
    note("function with concurrency", "get_function", f"Concurrency.{reserved}", **named)
    note("reserve all", "put_function_concurrency", **named, ReservedConcurrentExecutions=1000)
    note("reserve less than none", "put_function_concurrency", **named, ReservedConcurrentExecutions=-1)
    note("reserve for absent", "put_function_concurrency", FunctionName=ABSENT, ReservedConcurrentExecutions=1)
    note("give back", "delete_function_concurrency", **named)
    note("concurrency given back", "get_function_concurrency", reserved, **named)
    note("concurrency of absent", "get_function_concurrency", FunctionName=ABSENT)
    queue = script.sqs.create_queue(QueueName="lambda-failed")["QueueUrl"]
    target = script.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    fields = ("FunctionArn", "MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig.OnFailure")
    note("no event config", "get_function_event_invoke_config", **named)
    config = {"MaximumRetryAttempts": 1, "DestinationConfig": {"OnFailure": {"Destination": target}}}
    note("event config", "put_function_event_invoke_config", *fields, **named, **config)
    note("update event config", "update_function_event_invoke_config", *fields, **named, MaximumEventAgeInSeconds=60)
    note("event config kept", "get_function_event_invoke_config", *fields, **named)
    note(
        "list event configs",
        "list_function_event_invoke_configs",
        *fields_of("FunctionEventInvokeConfigs", fields),
        **named,
    )
    note("put event config", "put_function_event_invoke_config", *fields, **named, MaximumRetryAttempts=0)
    note("event config, 3 retries", "put_function_event_invoke_config", **named, MaximumRetryAttempts=3)
    note("event config, short age", "put_function_event_invoke_config", **named, MaximumEventAgeInSeconds=59)
    note("event config of absent", "put_function_event_invoke_config", FunctionName=ABSENT, MaximumRetryAttempts=1)
    note("update no event config", "update_function_event_invoke_config", FunctionName=ABSENT, MaximumRetryAttempts=1)
    note("delete event config", "delete_function_event_invoke_config", **named)
    note("delete event config again", "delete_function_event_invoke_config", **named)
    note("account", "get_account_settings", "AccountLimit.ConcurrentExecutions", "AccountUsage.FunctionCount")


def fields_of(rows: str, fields: tuple[str, ...]) -> tuple[str, ...]:
    """The fields of all rows."""
    return tuple(f"{rows}.{name}" for name in fields if "." not in name)


def urls(script: Script) -> None:
    """A function's URL: its configuration."""
    note, named = script.note, {"FunctionName": "u"}
    script.make("u")
    fields = ("FunctionArn", "AuthType", "Cors", "InvokeMode")
    note("no URL", "get_function_url_config", **named)
    note("URL", "create_function_url_config", *fields, **named, AuthType="NONE")
    note("URL again", "create_function_url_config", **named, AuthType="NONE")
    note("get URL", "get_function_url_config", *fields, **named)
    cors = {"AllowOrigins": ["*"], "AllowMethods": ["GET"], "MaxAge": 60}
    note("update URL", "update_function_url_config", *fields, **named, AuthType="AWS_IAM", Cors=cors)
    note("list URLs", "list_function_url_configs", "FunctionUrlConfigs.AuthType", **named)
    note("URL, wrong type", "update_function_url_config", **named, AuthType="SOME")
    note("URL of absent", "create_function_url_config", FunctionName=ABSENT, AuthType="NONE")
    note("delete URL", "delete_function_url_config", **named)
    note("delete URL again", "delete_function_url_config", **named)


def invocations(script: Script) -> None:
    """Invoke; what the function answers is noted by its status alone: moto runs nothing."""
    note, named = script.note, {"FunctionName": "i"}
    script.make("i")
    note("invoke", "invoke", "StatusCode", "ExecutedVersion", "FunctionError", **named, Payload=b"{}")
    note("invoke, event", "invoke", "StatusCode", "Payload", **named, Payload=b"{}", InvocationType="Event")
    note("invoke, dry run", "invoke", "StatusCode", **named, Payload=b"{}", InvocationType="DryRun")
    note("invoke absent", "invoke", FunctionName=ABSENT, Payload=b"{}")
    note("invoke absent version", "invoke", **named, Qualifier="9", Payload=b"{}")
    note("invoke, no JSON", "invoke", **named, Payload=b"{")
    note("invoke, wrong type", "invoke", **named, Payload=b"{}", InvocationType="Wish")
    note("invoke, 7 MB", "invoke", **named, Payload=b'"' + b"x" * (7 << 20) + b'"')


def refusals(script: Script) -> None:
    """What is wrong, last: moto takes most of it, and fails later over what it has taken."""
    note, named = script.note, {"FunctionName": "r"}
    made = script.make("r")
    note("update memory, wrong", "update_function_configuration", **named, MemorySize=127)
    note("update of another revision", "update_function_configuration", **named, MemorySize=128, RevisionId=OTHER)
    note("update code, no zip", "update_function_code", **named, ZipFile=b"no zip")
    note("publish other code", "publish_version", **named, CodeSha256=f"{made['CodeSha256'][:-2]}A=")
    note("publish other revision", "publish_version", **named, RevisionId=OTHER)
    published = script.functions.publish_version(**named)["Version"]
    note("alias like a number", "create_alias", **named, Name="7", FunctionVersion=published)
    note("publish layer, no zip", "publish_layer_version", LayerName="layer", Content={"ZipFile": b"no zip"})
    grant = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    script.functions.add_permission(**named, **grant)
    note("permit again", "add_permission", **named, **grant)
    note("permit, wrong action", "add_permission", **named, **{**grant, "StatementId": "x", "Action": "s3:Get"})
    wrong: dict[str, dict[str, Any]] = {
        "name": {"FunctionName": "a b"}, "memory": {"MemorySize": 127}, "more memory": {"MemorySize": 10_241},
        "timeout": {"Timeout": 901}, "no timeout": {"Timeout": 0}, "runtime": {"Runtime": "cobol60"},
        "no code": {"Code": {}}, "no zip": {"Code": {"ZipFile": b"no zip"}},
        "absent code": {"Code": {"S3Bucket": BUCKET, "S3Key": "absent"}},
        "code from no bucket": {"Code": {"S3Bucket": "no-such-bucket", "S3Key": "k"}},
        "absent layer": {"Layers": [f"arn:aws:lambda:us-east-1:000000000000:layer:{ABSENT}:1"]},
        "reserved variable": {"Environment": {"Variables": {"AWS_REGION": "x"}}},
        "storage": {"EphemeralStorage": {"Size": 511}},
    }  # fmt: skip
    for n, (name, settings) in enumerate(wrong.items()):
        note(f"create, wrong {name}", "create_function", **{**complete(f"wrong-{n}"), **settings})


def commands(script: Script) -> None:
    """The `aws` command."""
    (script.notes.cwd / "code.zip").write_bytes(zipped("one"))
    shell = script.notes.shell
    given = ("--runtime", RUNTIME, "--role", ROLE, "--handler", "app.handler", "--zip-file", "fileb://code.zip")
    show = ("--output", "text", "--query")
    shell("aws create", "lambda", "create-function", "--function-name", "c", *given, *show, "[FunctionName,Handler]")
    shell("aws list", "lambda", "list-functions", *show, "Functions[?FunctionName=='c'].[FunctionName,Timeout]")
    shell("aws get absent", "lambda", "get-function", "--function-name", ABSENT)


def run(functions_client: Any, s3: Any, sqs: Any, url: str, cwd: Path) -> Told:
    """The whole script on one server; what each call told, by name."""
    script = Script(functions_client, s3, sqs, Notes(url, cwd))
    s3.create_bucket(Bucket=BUCKET)
    for part in (functions, versions, layers, permissions, limits, urls, invocations, commands, refusals):
        part(script)
    return script.notes.told
