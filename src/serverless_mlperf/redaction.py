"""What is kept out of everything that is published: account ids, ARNs, access keys. Pure."""

from collections.abc import Mapping, Sequence
import json
import re
from typing import Any, Final

ACCOUNT: Final = "<account>"
ACCESS_KEY: Final = "<access-key>"
NOBODY: Final = "0" * 12
"""The local platform's account, which is nobody's: it stays, and so do ARNs in it."""
_ARN: Final = re.compile(rf"arn:aws[a-z-]*:([a-z0-9-]+):[a-z0-9-]*:(?!{NOBODY}:)[^\s\"'<>,;()\[\]{{}}]*")
_ACCOUNT: Final = re.compile(rf"(?<![0-9A-Za-z])(?!{NOBODY})[0-9]{{12}}(?![0-9A-Za-z])")
"""Twelve digits that stand alone: not a part of a digest. A number of JSON is not text, and is left as it is."""
_ACCESS_KEY: Final = re.compile(r"(?<![0-9A-Za-z])(?:AKIA|ASIA)[A-Z0-9]{12,}")


def redacted(text: str) -> str:
    """The text with `<arn:SERVICE>`, `<account>` and `<access-key>` in place of what names somebody."""
    text = _ARN.sub(lambda found: f"<arn:{found[1]}>", text)
    return _ACCESS_KEY.sub(ACCESS_KEY, _ACCOUNT.sub(ACCOUNT, text))


def redacted_document(value: Any) -> Any:
    """A document of JSON values with all its texts, keys of objects too, redacted; numbers stay."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {redacted(str(key)): redacted_document(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [redacted_document(item) for item in value]
    return value


def redacted_json(content: bytes, indent: int | None = None) -> bytes:
    """The JSON or text of a file, redacted: byte for byte as it was where it names nobody."""
    text = content.decode(errors="replace")
    if redacted(text) == text:
        return content
    try:
        return json.dumps(redacted_document(json.loads(text)), indent=indent).encode()
    except ValueError:
        return redacted(text).encode()


def masked(account: str) -> str:
    """An account id as it is shown to who owns it: its last four digits."""
    return "*" * (len(account) - 4) + account[-4:]
