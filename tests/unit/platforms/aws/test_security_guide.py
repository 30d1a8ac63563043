"""The guide to security names, for each of its twelve points, tests that exist."""

from collections.abc import Iterator
from pathlib import Path
import re

import pytest

TESTS = Path(__file__).parents[3]
GUIDE = TESTS.parent / "docs" / "guides" / "aws-security.md"
POINTS = 12


def points(text: str) -> dict[int, str]:
    """The text of each numbered section."""
    numbered = re.split(r"^## (\d+)\. ", text, flags=re.MULTILINE)
    return {int(number): body for number, body in zip(numbered[1::2], numbered[2::2], strict=True)}


def cited(text: str) -> Iterator[tuple[str, str]]:
    """File and name of each test; `::name` alone is of the file before it."""
    file = ""
    for named, test in re.findall(r"`([\w/]*(?:\.py)?)::(test_\w+)`", text):
        file = named or file
        yield file, test


def defined(file: str) -> set[str]:
    """Names of the tests in a file; none if it is not there."""
    path = TESTS / file
    return set(re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)) if path.is_file() else set()


def test_guide_has_all_points() -> None:
    """Each under its number, in order."""
    assert list(points(GUIDE.read_text())) == list(range(1, POINTS + 1))


@pytest.mark.parametrize("number", range(1, POINTS + 1))
def test_point_is_shown_by_tests_that_exist(number: int) -> None:
    """At least one, and none that was renamed or removed."""
    found = list(cited(points(GUIDE.read_text())[number]))
    assert found
    assert [f"{file}::{test}" for file, test in found if test not in defined(file)] == []


def test_citation_of_nothing_is_seen() -> None:
    """In a file that is there as in one that is not."""
    text = "`unit/platforms/aws/test_security_guide.py::test_guide_has_all_points`, `::test_gone`, `a.py::test_b`"
    assert [test in defined(file) for file, test in cited(text)] == [True, False, False]
