"""A new version of a function for every deployment: none of its environments has ever run.

Lambda publishes a version only when something has changed, so a variable of the function's changes; the alias that is
invoked and triggered then moves on to it (AWS: lambda/latest/dg/configuration-versions, configuration-aliases).
"""

from collections.abc import Mapping
from typing import Any, Final
import uuid

from botocore.exceptions import ClientError

from serverless_mlperf.errors import PlatformError
from serverless_mlperf.platforms.aws.failures import is_missing, told
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import ALIAS
from serverless_mlperf.platforms.aws.waiting import Patience

NONCE: Final = "SUT_DEPLOYMENT"
"""The variable; the function does not read it."""


class Versions:
    """Publishes versions; blocking. Of those it has published, only the last one of a function is kept."""

    def __init__(self, aws: Aws, patience: Patience) -> None:
        self._client = aws.client("lambda")
        self._patience = patience
        self._published: dict[str, str] = {}

    def renew(self, name: str) -> str:
        """Publish a version that differs from all before, wait until it is Active, and let the alias lead to it.

        Returns its number. Raises PlatformError when it does not become Active.
        """
        with told(f"publishing a version of {name}"):
            self._client.update_function_configuration(FunctionName=name, Environment=self._environment(name))
            self._wait(name, "$LATEST")
            version = str(self._client.publish_version(FunctionName=name)["Version"])
            self._wait(name, version)
            self._client.update_alias(FunctionName=name, Name=ALIAS, FunctionVersion=version)
            former, self._published[name] = self._published.get(name), version
            if former is not None:
                self._remove(name, former)
        return version

    def _environment(self, name: str) -> dict[str, Any]:
        """The variables as the stack has set them, and one that is never the same."""
        found = self._client.get_function_configuration(FunctionName=name)
        return {"Variables": {**found.get("Environment", {}).get("Variables", {}), NONCE: uuid.uuid4().hex}}

    def _wait(self, name: str, version: str) -> None:
        """Wait until a version can be invoked: its code is there, and no change of it is under way."""
        done = self._patience.until(lambda: self._settled(name, version), self._patience.settle_s)
        if done is None:
            raise PlatformError(f"aws: version {version} of {name} is not Active yet; try again")
        if done.get("State", "Active") == "Failed" or done.get("LastUpdateStatus") == "Failed":
            why = done.get("StateReason") or done.get("LastUpdateStatusReason") or "Lambda tells no reason"
            raise PlatformError(f"aws: version {version} of {name} failed: {why}; deploy the stack again")

    def _settled(self, name: str, version: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] = self._client.get_function_configuration(FunctionName=name, Qualifier=version)
        busy = found.get("State") == "Pending" or found.get("LastUpdateStatus") == "InProgress"
        return None if busy else found

    def _remove(self, name: str, version: str) -> None:
        """Nothing leads to it any more; versions count against the account's storage of code."""
        try:
            self._client.delete_function(FunctionName=name, Qualifier=version)
        except ClientError as error:
            if not is_missing(error):
                raise
