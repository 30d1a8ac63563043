"""Signature Version 4 for the few requests of the hot path.

botocore's signer costs about 0.2 ms per request because it serves every request there is; ours serves plain
object and queue requests without a query string. The rules are AWS's "Create a signed AWS API request"
(docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
import hashlib
import hmac
import time
from typing import Final
from urllib.parse import quote

from serverless_mlperf.platforms.base import Credentials

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
"""Allowed for S3 over https, where TLS protects the body."""
_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Identity:
    """Who signs; its credentials may be replaced at any time, and the next request is signed with the new ones."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials


@dataclass(frozen=True, slots=True)
class Digested:
    """A body that is sent many times, with its digest: hashing 100 KB takes longer than all else of a signature."""

    body: bytes = field(repr=False)
    sha256: str


def digested(body: bytes | Digested) -> Digested:
    """The body with its digest, computed if it is not known yet."""
    return body if isinstance(body, Digested) else Digested(body, hashlib.sha256(body).hexdigest())


class Signer:
    """Signs requests to one service in one region; the derived key is kept for its day and its secret."""

    def __init__(self, identity: Identity, region: str, service: str) -> None:
        self._identity = identity
        self._scope = f"{region}/{service}/aws4_request"
        self._service = service
        self._region = region
        self._key: tuple[tuple[str, str], bytes] = (("", ""), b"")

    def sign(
        self,
        method: str,
        host: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | Digested,
        now: float | None = None,
    ) -> dict[str, str]:
        """Return `headers` with everything that proves the sender.

        `path` is the path as sent (quoted); `headers` have lower-case names and lack `host`, which is the HTTP
        client's to send.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        credentials = self._identity.credentials
        signed = {**headers, "x-amz-date": stamp}
        if credentials.session_token is not None:
            signed["x-amz-security-token"] = credentials.session_token
        digest = UNSIGNED_PAYLOAD if self._service == "s3" else digested(body).sha256
        if self._service == "s3":
            signed["x-amz-content-sha256"] = digest
        signed["authorization"] = self._authorization(
            credentials, f"{method}\n{self._canonical(path)}\n\n", {**signed, "host": host}, digest, stamp
        )
        return signed

    def _canonical(self, path: str) -> str:
        # Every service but S3 quotes the quoted path once more.
        return path if self._service == "s3" else quote(path, safe="/~")

    def _authorization(
        self, credentials: Credentials, request: str, headers: Mapping[str, str], digest: str, stamp: str
    ) -> str:
        names = sorted(headers)
        canonical_headers = "".join(f"{name}:{headers[name]}\n" for name in names)
        canonical = f"{request}{canonical_headers}\n{';'.join(names)}\n{digest}"
        scope = f"{stamp[:8]}/{self._scope}"
        to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(
            self._signing_key(credentials.secret_access_key, stamp[:8]), to_sign.encode(), hashlib.sha256
        ).hexdigest()
        credential = f"{credentials.access_key_id}/{scope}"
        return f"{_ALGORITHM} Credential={credential}, SignedHeaders={';'.join(names)}, Signature={signature}"

    def _signing_key(self, secret: str, date: str) -> bytes:
        if self._key[0] != (secret, date):
            key = f"AWS4{secret}".encode()
            for part in (date, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), hashlib.sha256)
            self._key = ((secret, date), key)
        return self._key[1]
