"""What is published names no account."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from serverless_mlperf.redaction import masked, redacted, redacted_document, redacted_json

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:a:live is gone", "<arn:lambda> is gone"),
        (f"User: arn:aws:sts::{ACCOUNT}:assumed-role/admin/jane.doe@example.org is not", "User: <arn:sts> is not"),
        ("arn:aws-us-gov:s3:::bucket/key", "<arn:s3>"),
        (f"bucket serverless-mlperf-{ACCOUNT}-us-east-1", "bucket serverless-mlperf-<account>-us-east-1"),
        (f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/q", "https://sqs.us-east-1.amazonaws.com/<account>/q"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key <access-key>."),
        ("key ASIAIOSFODNN7EXAMPLE.", "key <access-key>."),
    ],
)
def test_names_of_somebody_are_gone(text: str, wanted: str) -> None:
    """ARNs, account ids and access keys are replaced wherever they stand in a text."""
    assert redacted(text) == wanted


@pytest.mark.parametrize(
    "text", ["f00d123456789012ab", "1234567890123", "1764115200000000000", "sha256:0123456789012345"]
)
def test_other_digits_stay(text: str) -> None:
    """A digest, a time in milliseconds or nanoseconds is left as it is."""
    assert redacted(text) == text


@pytest.mark.parametrize("text", ["arn:aws:lambda:us-east-1:000000000000:function:a", "http://h/000000000000/queue"])
def test_local_account_is_nobodys(text: str) -> None:
    """What the local platform says stays readable."""
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b'{"a":  0.123456789012}', b'{"a": 0.123456789012}'),
        (b'{"a":  1.5, "b": "x"}', b'{"a":  1.5, "b": "x"}'),
        (b'{"a": "' + ACCOUNT.encode() + b'"}', b'{"a": "<account>"}'),
        (b"no JSON " + ACCOUNT.encode(), b"no JSON <account>"),
        (b"\xff\x00", b"\xff\x00"),
    ],
)
def test_file_is_redacted_as_what_it_is(content: bytes, wanted: bytes) -> None:
    """Texts of JSON, or all of a text; what names nobody is left byte for byte, and numbers are numbers."""
    assert redacted_json(content) == wanted


def test_document_keeps_its_numbers() -> None:
    """In a JSON document texts and names are redacted; a duration of twelve digits is a number and stays."""
    document = {ACCOUNT: [f"arn:aws:sqs:r:{ACCOUNT}:q", 600_000_000_000, None, True], "a": {"b": f"x {ACCOUNT}"}}
    assert redacted_document(document) == {
        "<account>": ["<arn:sqs>", 600_000_000_000, None, True],
        "a": {"b": "x <account>"},
    }


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_redacting_twice_changes_nothing(document: Any) -> None:
    """What is redacted has nothing left to be redacted."""
    once = redacted_document(document)
    assert redacted_document(once) == once


def test_account_is_masked_but_for_four_digits() -> None:
    """Its owner knows it by them."""
    assert masked(ACCOUNT) == "********9012"
