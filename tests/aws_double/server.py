"""moto's server in this process, with what it lacks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
import json
import logging
from threading import Event
from typing import Any
from unittest.mock import patch

import boto3
from botocore.config import Config
from moto.awslambda import urls as lambda_urls
from moto.awslambda.models import LambdaFunction
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeBucket
from moto.server import ThreadedMotoServer

from aws_double.cloudformation import CloudFormationDouble, requests
from aws_double.stacks import World
from local_server import raw

KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@dataclass
class LambdaAccount:
    """What moto's Lambda does not have: the account's limits, and provisioned concurrency."""

    concurrent: int = 1000
    unreserved: int = 1000
    provisioned: dict[str, int] = field(default_factory=dict)
    """`function:qualifier` -> environments."""

    def settings(self, request: Any, url: str, headers: Any) -> tuple[int, dict[str, str], str]:  # noqa: ARG002
        """GetAccountSettings, in the form in which moto calls it."""
        limit = {"ConcurrentExecutions": self.concurrent, "UnreservedConcurrentExecutions": self.unreserved}
        return 200, {}, json.dumps({"AccountLimit": limit, "AccountUsage": {"FunctionCount": 0}})

    def concurrency(self, request: Any, url: str, headers: Any) -> tuple[int, dict[str, str], str]:  # noqa: ARG002
        """Put, Get and DeleteProvisionedConcurrencyConfig."""
        name = url.partition("/functions/")[2].partition("/")[0]
        key = f"{name}:{request.args['Qualifier']}"
        if request.method == "PUT":
            self.provisioned[key] = json.loads(request.data)["ProvisionedConcurrentExecutions"]
        elif key not in self.provisioned:
            error = {"x-amzn-errortype": "ProvisionedConcurrencyConfigNotFoundException"}
            return 404, error, json.dumps({"Type": "User", "message": "No Provisioned Concurrency Config found"})
        elif request.method == "DELETE":
            del self.provisioned[key]
            return 204, {}, ""
        count = self.provisioned[key]
        answer = {"RequestedProvisionedConcurrentExecutions": count, "Status": "READY"}
        return 202 if request.method == "PUT" else 200, {}, json.dumps(answer)


@dataclass
class AwsDouble:
    """A running double."""

    url: str
    cloudformation: CloudFormationDouble
    account: LambdaAccount
    invoked: list[tuple[str, str]] = field(default_factory=list)
    """Function and version of every invocation; they do nothing here, see execution.py."""

    @property
    def world(self) -> World:
        """What a test may set."""
        return self.cloudformation.world

    def api(self, service: str) -> Any:
        """A client of it, not by way of the project's own code."""
        return self.world.api(service)

    def reset(self) -> None:
        """Forget everything."""
        self.cloudformation.join()
        assert raw(self.url, "POST", "/moto-api/reset").status == 200
        self.cloudformation.stacks.clear()
        self.cloudformation.change_sets.clear()
        self.world.refusals.clear()
        self.world.stuck.clear()
        self.account.concurrent = self.account.unreserved = 1000
        self.account.provisioned.clear()
        self.invoked.clear()

    def left(self) -> dict[str, list[str]]:
        """All that is there, by service, whoever made it: read by the services' own listings."""
        functions, buckets = self.api("lambda"), self.api("s3")
        found = {
            "functions": [f["FunctionName"] for f in functions.list_functions()["Functions"]],
            "layers": [layer["LayerName"] for layer in functions.list_layers()["Layers"]],
            "buckets": [bucket["Name"] for bucket in buckets.list_buckets()["Buckets"]],
            "queues": self.api("sqs").list_queues().get("QueueUrls", []),
            "roles": [role["RoleName"] for role in self.api("iam").list_roles()["Roles"]],
            "log groups": [g["logGroupName"] for g in self.api("logs").describe_log_groups()["logGroups"]],
            "stacks": [s.name for s in self.cloudformation.stacks if s.status != "DELETE_COMPLETE"],
        }
        return {kind: names for kind, names in found.items() if names}


def _permission_over_tls(self: FakeBucket, action: str, resource: str) -> Any:
    """A bucket's policy without its Deny on TLS.

    The condition of a Deny is overlooked by moto: it would lock everybody out of a server without TLS.
    """
    whole = self.policy
    if whole is not None:
        document = json.loads(whole)
        document["Statement"] = [s for s in document["Statement"] if "SecureTransport" not in json.dumps(s)]
        self.policy = json.dumps(document).encode() if document["Statement"] else None
    try:
        return _PERMISSION(self, action, resource)
    finally:
        self.policy = whole


_PERMISSION = FakeBucket.get_permission


def _more_paths(account: LambdaAccount) -> Mapping[str, Any]:
    function = r"{0}/(?P<api_version>[^/]+)/functions/(?P<function_name>[\w_:%-]+)"
    return {
        r"{0}/(?P<api_version>[^/]+)/account-settings/?$": account.settings,
        rf"{function}/provisioned-concurrency/?$": account.concurrency,
    }


@contextmanager
def running(region: str = "us-east-1") -> Iterator[AwsDouble]:
    """A server on a free port of 127.0.0.1, in this process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    account = LambdaAccount()
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with patch.dict(lambda_urls.url_paths, _more_paths(account)):
        server.start()
        url = "http://{}:{}".format(*server.get_host_and_port())

        @lru_cache
        def api(service: str) -> Any:
            settings = Config(retries={"total_max_attempts": 1}, max_pool_connections=20)
            return boto3.client(  # type: ignore[call-overload]
                service, endpoint_url=url, region_name=region, config=settings, **KEYS
            )

        go_on = Event()
        go_on.set()
        double = CloudFormationDouble(World(api, DEFAULT_ACCOUNT_ID, region, go_on))
        replaced: dict[str, Any] = {"RESPONSE_KEY_PATH_TO_TRANSFORMER": {}, **requests(double)}
        made = AwsDouble(url, double, account)

        def invoke(function: LambdaFunction, event: Any = None) -> tuple[str, bool, str]:
            del event
            made.invoked.append((function.function_name, str(function.version)))
            return "{}", False, ""

        with (
            # Its transformers expect moto's own objects; ours are the answers themselves.
            patch.multiple(CloudFormationResponse, **replaced),
            patch.object(FakeBucket, "get_permission", _permission_over_tls),
            patch.object(LambdaFunction, "_invoke_lambda", invoke),
        ):
            try:
                yield made
            finally:
                double.join()
                server.stop()
