"""An AWS account and region as one value, from boto3's own chain of credentials; nothing of them is kept or shown.

An endpoint of one's own (boto3's AWS_ENDPOINT_URL) is for tests: it must be on this host, and is refused real keys;
AWS's own are refused keys that cannot be real. So neither do tests reach AWS, nor real keys a test server.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address
import re
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.aws.failures import told
from serverless_mlperf.redaction import masked

ATTEMPTS: Final = 8
"""Tries of a request that is throttled or fails on the way; the mode `standard` backs off up to 20 s between them."""
_CONFIG: Final = Config(
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    connect_timeout=10,
    read_timeout=60,
    user_agent_extra="serverless-mlperf",
)
_REAL_KEY: Final = re.compile(r"A[KS]IA[A-Z0-9]{16,}")
_KEY_CHARACTERS: Final = 16
"""An access key id has at least so many (API_AccessKey of IAM)."""
_REGION: Final = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")


@dataclass(frozen=True, slots=True)
class Aws:
    """One account in one region, as the credentials in use see it."""

    account: str
    """Twelve digits."""
    region: str
    partition: str
    """`aws`, `aws-cn`, `aws-us-gov`."""
    session: boto3.session.Session = field(repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """By service: one takes tenths of a second to make, and keeps its connections."""

    @property
    def shown(self) -> str:
        """Account and region for the one who owns them."""
        return f"account {masked(self.account)}, region {self.region}"

    @property
    def is_local(self) -> bool:
        """Whether all this is a test server on this host."""
        return _is_loopback(str(self.client("sts").meta.endpoint_url))

    def client(self, service: str) -> Any:
        """A client of one service: retries with back-off; raises InputError when endpoint and keys do not fit."""
        if service not in self._clients:
            self._clients[service] = _client(self.session, service)
        return self._clients[service]


def open_session(profile: str | None = None, region: str | None = None) -> Aws:
    """Ask AWS who we are; raises InputError without credentials, region or profile, and for the root user."""
    with told("opening a session"):
        session = boto3.session.Session(profile_name=profile, region_name=region)
        checked = _region(session)
        identity = _client(session, "sts").get_caller_identity()
        partition = session.get_partition_for_region(checked)
    if str(identity["Arn"]).endswith(":root"):
        raise InputError(
            "aws: these are credentials of the account's root user, which may do everything; "
            "use those of a role or user that may do what docs/guides/aws.md lists"
        )
    return Aws(str(identity["Account"]), checked, partition, session)


def _region(session: boto3.session.Session) -> str:
    region = session.region_name
    if not region:
        raise InputError("aws: no region; give --region, e.g. us-east-1, or set AWS_DEFAULT_REGION")
    if not _REGION.fullmatch(region):
        raise InputError(f"aws: region {region!r} is not a region's name; give one like us-east-1")
    return region


def _client(session: boto3.session.Session, service: str) -> Any:
    with told(f"opening {service}"):
        made = session.client(service, config=_CONFIG)  # type: ignore[call-overload]
        credentials = session.get_credentials()
    if credentials is not None:
        _check_endpoint(str(made.meta.endpoint_url), credentials.access_key)
    return made


def _check_endpoint(url: str, key: str) -> None:
    """Raise InputError when a test server would get real keys, or AWS those of a test."""
    if _is_loopback(url):
        if _REAL_KEY.fullmatch(key):
            raise InputError(
                f"aws: {url} is a test server on this host, and the credentials look like real ones; "
                "unset AWS_ENDPOINT_URL, or give test credentials"
            )
        return
    if not _is_aws(url):
        raise InputError(f"aws: {url} is neither AWS's nor on this host; unset AWS_ENDPOINT_URL")
    if len(key) < _KEY_CHARACTERS:
        raise InputError("aws: these are test credentials, which AWS does not know; give a --profile of your own")


def _is_aws(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return urlsplit(url).scheme == "https" and host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
