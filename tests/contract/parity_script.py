"""What scripts note of each call to a server, so that two servers' answers can be held against each other.

What matters to a caller is noted: the status, the code of an error, chosen fields. Nothing that differs by nature (ids,
times, hosts) is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local_server import aws

Told = dict[str, Any]
"""What each call told, by name."""
Differences = Mapping[str, tuple[tuple[Any, ...], str]]
"""Call -> what the platform tells, and why it is not moto's answer."""


@dataclass
class Notes:
    """Runs calls and keeps what they told."""

    url: str
    cwd: Path
    told: Told = field(default_factory=dict)

    def call(self, client: Any, name: str, operation: str, *fields: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation and note its status, code and some fields; the whole answer."""
        assert name not in self.told, name
        try:
            answer = dict(getattr(client, operation)(**parameters))
            for content in ("Body", "Payload"):
                if content in answer:
                    with answer[content] as body:
                        answer[content] = body.read()
        except ClientError as error:
            answer = dict(error.response)
        told = [answer["ResponseMetadata"]["HTTPStatusCode"], answer.get("Error", {}).get("Code")]
        self.told[name] = (*told, *(value_at(answer, path) for path in fields))
        return answer

    def shell(self, name: str, *arguments: str) -> None:
        """Run an `aws` command and note its exit status and output."""
        done = aws(self.url, *arguments, cwd=self.cwd)
        lines = sorted(line.strip() for line in done.stdout.splitlines())  # they come from several threads
        self.told[name] = (done.returncode, lines, done.stderr.strip().splitlines()[-1:] if done.returncode else [])


def value_at(answer: Any, path: str) -> Any:
    """A field by its path; `Rows.Name` gives the names of all rows."""
    for step in path.split("."):
        if isinstance(answer, list):
            answer = [row.get(step) for row in answer]
        else:
            answer = answer.get(step) if isinstance(answer, dict) else None
    return None if answer in ("", [], {}) else answer  # what is empty and what is not there mean the same to a caller


def assert_same(told: Told, moto_told: Told, but_for: Collection[str]) -> None:
    """Every call told the same on both, but for those that are known to differ."""
    assert told.keys() == moto_told.keys()
    assert told.keys() >= set(but_for)
    same = told.keys() - set(but_for)
    differing = {name: (told[name], moto_told[name]) for name in sorted(same) if told[name] != moto_told[name]}
    assert not differing, differing


def assert_differs(told: Told, moto_told: Told, name: str, difference: tuple[tuple[Any, ...], str]) -> None:
    """The platform told what the table says, and moto something else."""
    expected, reason = difference
    assert told[name] == expected, reason
    assert moto_told[name] != expected, f"no difference any more: {reason}"
