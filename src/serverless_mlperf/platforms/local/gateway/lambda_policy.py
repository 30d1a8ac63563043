"""Permissions: a function's resource policy, kept and asked."""

from collections.abc import Mapping
import json
import re
from typing import Any, Final

from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.lambda_call import Call, answer
from serverless_mlperf.platforms.local.gateway.lambda_errors import (
    check_choice,
    check_flag,
    check_revision,
    check_text,
    conflict,
    invalid,
    not_found,
    refuse_others,
    required,
)
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_qualifier
from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST, FunctionRef, function_arn
from serverless_mlperf.platforms.local.gateway.lambda_state import Function, LambdaState
from serverless_mlperf.platforms.local.gateway.policies import S3, allowed
from serverless_mlperf.platforms.local.model import ACCOUNT_ID

INVOKE: Final = "lambda:InvokeFunction"
INVOKE_URL: Final = "lambda:InvokeFunctionUrl"
_SID: Final = "[a-zA-Z0-9-_]+"
_ACTION: Final = r"lambda:[*]|lambda:[a-zA-Z]+|[*]"
_ARN: Final = r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
_MEMBERS: Final = (
    "StatementId",
    "Action",
    "Principal",
    "SourceArn",
    "SourceAccount",
    "EventSourceToken",
    "FunctionUrlAuthType",
    "InvokedViaFunctionUrl",
    "PrincipalOrgID",
    "RevisionId",
)


class PolicyOperations:
    """Each method serves one operation."""

    def __init__(self, state: LambdaState) -> None:
        self._state = state

    async def add(self, call: Call) -> Response:
        """AddPermission."""
        values = call.values
        refuse_others(values, _MEMBERS, "AddPermission")
        if call.ref.qualifier == LATEST:
            raise invalid("We currently do not support adding policies for $LATEST.")
        function, qualifier = find_qualifier(self._state, call.ref)
        check_revision(values.get("RevisionId"), policy_revision(function, qualifier))
        statement = _statement(values, call.ref.arn)
        statements = function.policies.setdefault(qualifier, {})
        sid = statement["Sid"]
        if sid in statements:
            raise conflict(
                f"The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the "
                "existing statement."
            )
        statements[sid] = statement
        self._changed(function, qualifier)
        return answer({"Statement": json.dumps(statement, separators=(",", ":"))}, 201)

    async def remove(self, call: Call) -> Response:
        """RemovePermission."""
        function, qualifier = find_qualifier(self._state, call.ref)
        statements = function.policies.get(qualifier)
        if not statements:
            raise not_found("No policy is associated with the given resource.")
        if call.item not in statements:
            raise not_found(f"Statement {call.item} is not found in resource policy.")
        check_revision(call.query.get("RevisionId"), policy_revision(function, qualifier))
        del statements[call.item]
        if not statements:
            del function.policies[qualifier]
        self._changed(function, qualifier)
        return Response(204)

    async def get(self, call: Call) -> Response:
        """GetPolicy."""
        function, qualifier = find_qualifier(self._state, call.ref)
        statements = function.policies.get(qualifier)
        if not statements:
            raise not_found()
        policy = {"Version": "2012-10-17", "Id": "default", "Statement": list(statements.values())}
        document = json.dumps(policy, separators=(",", ":"))
        return answer({"Policy": document, "RevisionId": policy_revision(function, qualifier)})

    def _changed(self, function: Function, qualifier: str) -> None:
        function.touch(qualifier)
        self._state.changed("function", function.name)


def policy_revision(function: Function, qualifier: str) -> str:
    """RevisionId of what a policy belongs to: a version or an alias."""
    alias = function.aliases.get(qualifier)
    if alias is not None:
        return alias.revision_id
    revision = function.revision(qualifier)
    assert revision is not None  # noqa: S101 - the qualifier was looked up
    return revision.revision_id


def s3_may_invoke(function: Function, ref: FunctionRef, bucket_arn: str) -> bool:
    """Whether the function's policy lets S3 invoke it for a bucket of this account."""
    asked = ref.qualifier or LATEST, bucket_arn
    if asked not in function.granted:
        statements = function.policies.get(asked[0], {}).values()
        context = {"aws:sourcearn": bucket_arn, "aws:sourceaccount": ACCOUNT_ID}
        function.granted[asked] = allowed(statements, S3, INVOKE, ref.arn, context)
    return function.granted[asked]


def url_may_be_called(function: Function, qualifier: str, auth_type: str) -> bool:
    """Whether the function's policy lets anyone call its URL: both permissions (lambda/latest/dg/urls-auth)."""
    statements = function.policies.get(qualifier, {}).values()
    arn = function_arn(function.name, None if qualifier == LATEST else qualifier)
    context = {"lambda:functionurlauthtype": auth_type, "lambda:invokedviafunctionurl": "true"}
    return all(allowed(statements, "*", action, arn, context) for action in (INVOKE_URL, INVOKE))


def _statement(values: Mapping[str, Any], arn: str) -> dict[str, Any]:
    sid = check_text(required(values, "StatementId"), "statementId", _SID, 100, 1)
    action = check_text(required(values, "Action"), "action", _ACTION)
    principal = check_text(required(values, "Principal"), "principal", r"[^\s]+")
    condition = _condition(values)
    statement = {"Sid": sid, "Effect": "Allow", "Principal": _principal(principal), "Action": action, "Resource": arn}
    return statement | ({"Condition": condition} if condition else {})


def _principal(name: str) -> str | dict[str, str]:
    if name == "*":
        return name
    if re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com", name):
        return {"Service": name}
    if re.fullmatch(r"\d{12}", name):
        return {"AWS": f"arn:aws:iam::{name}:root"}
    if re.fullmatch(r"arn:aws[a-zA-Z-]*:iam::\d{12}:.+", name):
        return {"AWS": name}
    raise invalid("The provided principal was invalid. Please check the principal and try again.")


def _condition(values: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Conditions in the words in which Lambda writes them down."""
    equals: dict[str, str] = {}
    if values.get("FunctionUrlAuthType"):
        auth_type = check_choice(values["FunctionUrlAuthType"], "functionUrlAuthType", ("NONE", "AWS_IAM"))
        equals["lambda:FunctionUrlAuthType"] = auth_type
    if values.get("SourceAccount"):
        equals["AWS:SourceAccount"] = check_text(values["SourceAccount"], "sourceAccount", r"\d{12}")
    if values.get("EventSourceToken"):
        equals["lambda:EventSourceToken"] = check_text(values["EventSourceToken"], "eventSourceToken", "", 256)
    if values.get("PrincipalOrgID"):
        equals["aws:PrincipalOrgID"] = check_text(values["PrincipalOrgID"], "principalOrgID", "o-[a-z0-9]{10,32}")
    condition = {"StringEquals": equals} if equals else {}
    if check_flag(values.get("InvokedViaFunctionUrl"), "invokedViaFunctionUrl"):
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": "true"}
    if values.get("SourceArn"):
        condition["ArnLike"] = {"AWS:SourceArn": check_text(values["SourceArn"], "sourceArn", _ARN)}
    return condition
