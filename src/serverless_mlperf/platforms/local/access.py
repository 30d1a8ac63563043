"""Who may talk to the server: this machine's programs, or whoever has the token; never a page in a browser."""

from collections.abc import Mapping
from dataclasses import dataclass
import hmac
import os
from pathlib import Path
import re
import secrets
import sys
from typing import Final
from urllib.parse import parse_qs, urlsplit

from serverless_mlperf.errors import InputError

TOKEN_VARIABLE: Final = "SERVERLESS_MLPERF_LOCAL_TOKEN"  # noqa: S105 - a name
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]", "::1")
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
"""Fit for an access key id, which has no slash or comma."""
_CREDENTIAL: Final = re.compile(r"Credential=([^/,\s]+)/")


@dataclass(frozen=True, slots=True)
class Access:
    """Where a server listens and what it asks of a request."""

    host: str = "127.0.0.1"
    token: str | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Environments reach the server at 127.0.0.1 whatever else it listens on."""
        return (self.host,) if self.host in {*LOOPBACK, *EVERYWHERE} else ("127.0.0.1", self.host)

    def refusal(self, headers: Mapping[str, str], target: str) -> str | None:
        """Why a request is refused; None when it is not."""
        if (foreign := foreign_page(headers)) is not None:
            return foreign
        if self.token is None:
            return _foreign("host", headers.get("host"))
        given = _given_token(headers, target)
        if given is not None and hmac.compare_digest(given.encode(), self.token.encode()):
            return None
        return "the server's token is missing: send it as access key id, or as Authorization: Bearer"


def access_of(host: str, token_file: Path | None, port: int) -> Access:
    """Check how a server shall be reached; raises InputError.

    The token comes from the environment or a file, never from an argument, which every user's `ps` would show. For an
    address beyond this machine one is made if there is none, and told once on stderr.
    """
    token = os.environ.get(TOKEN_VARIABLE) or (_token_of(token_file) if token_file else None)
    if token is None and host not in LOOPBACK:
        token = secrets.token_urlsafe(24)
        sys.stderr.write(f"token, asked of every request (access key id, or Authorization: Bearer): {token}\n")
    if token is not None and not _TOKEN.fullmatch(token):
        raise InputError(f"{TOKEN_VARIABLE} or --token-file: a token has 16 to 128 letters, digits, - and _")
    access = Access(host, token)
    if len(access.addresses) > 1 and not port:
        raise InputError(f"--host {host}: give a --port, which is the same there and at 127.0.0.1")
    return access


def foreign_page(headers: Mapping[str, str]) -> str | None:
    """What gives away a page of another site (Fetch Metadata): its Origin, or that the browser calls it cross-site.

    A browser sends an Origin with whatever changes something; without one, an image or a link, its word is taken.
    """
    origin = headers.get("origin")
    if origin is None and headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        return "a page of another site may not ask here"
    return _foreign("origin", origin)


def _foreign(name: str, value: str | None) -> str | None:
    """What gives away another site's name for this machine (DNS rebinding)."""
    if value is None:
        return None
    try:
        host = urlsplit(value if "//" in value else f"//{value}").hostname or ""
    except ValueError:
        host = ""
    local = host in LOOPBACK or host.endswith(".localhost")
    return None if local else f"{name} {value} is not this machine"


def _given_token(headers: Mapping[str, str], target: str) -> str | None:
    authorization = headers.get("authorization", "")
    if authorization.startswith("Bearer "):
        return authorization.removeprefix("Bearer ").strip()
    if found := _CREDENTIAL.search(authorization):
        return found[1]
    query = parse_qs(target.partition("?")[2])
    # Presigned URLs: signature version 4, and 2, which boto3 makes for this region unless told otherwise.
    given = [*query.get("X-Amz-Credential", ()), *query.get("AWSAccessKeyId", ())]
    return given[0].partition("/")[0] if given else None


def _token_of(path: Path) -> str:
    """The token in a file; one is made, readable for us alone, where there is no file."""
    try:
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
        if path.stat().st_mode & 0o077:
            raise InputError(f"--token-file {path}: others can read it; chmod 600 it")
        return path.read_text().strip()
    except OSError as error:
        raise InputError(f"--token-file {path}: {error.strerror}; name a file that can be read or made") from error
