"""What stands tells what it was deployed with, and what is wanted is joined to it."""

from dataclasses import replace
import json
from typing import Any

import pytest
from stack_specs import VARIANTS, reserved, single, whole

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.aws.spec import PROJECT
from serverless_mlperf.platforms.aws.standing import KEY, joined, kept, largest_mib, read, undone
from serverless_mlperf.platforms.aws.template import body, render

BOUNDARY = "arn:aws:iam::123456789012:policy/edge"
OPTIONS: dict[str, Any] = {
    "function_url": True, "provisioned": 2, "permissions_boundary": BOUNDARY, "log_retention_days": 30, "tmp_mib": 1024
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_template_tells_the_whole_value(variant: str) -> None:
    """Read back from the text that was sent, it renders the same text."""
    spec = VARIANTS[variant]()
    again = read(json.loads(body(spec)), PROJECT)
    assert body(again) == body(spec)
    assert {f.cell_name: f for f in again.functions} == {f.cell_name: f for f in spec.functions}
    assert replace(again, functions=()) == replace(spec, functions=())


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in ("default", "both architectures")])
def test_metadata_never_changes_alone(variant: str) -> None:
    """CloudFormation does not take such a change: every option is in some resource as well."""
    assert render(VARIANTS[variant]())["Resources"] != render(whole())["Resources"]


@pytest.mark.parametrize("metadata", [{}, {KEY: {}}, {KEY: []}, {"other": {"a": 1}}])
def test_stack_of_somebody_else_is_not_guessed_at(metadata: dict[str, Any]) -> None:
    """One that does not tell what it was deployed with is refused in one line."""
    with pytest.raises(InputError, match="does not tell what it was deployed with") as raised:
        read({"Metadata": metadata, "Resources": {}}, PROJECT)
    assert "\n" not in str(raised.value)


def test_options_and_other_functions_stay() -> None:
    """The wanted function is as it is wanted, the 23 others as they stand, and the options are those that stand."""
    standing = replace(reserved(5), **OPTIONS)
    wanted = replace(single(), code_key="function-new.zip")
    found = joined(wanted, standing)
    assert {f.cell_name: f.reserved for f in found.functions} == {
        f.cell_name: None if f.cell_name == "classification-ie-ir-1536" else 5 for f in standing.functions
    }
    assert {name: getattr(found, name) for name in OPTIONS} == OPTIONS
    assert found.code_key == "function-new.zip"
    assert joined(wanted, found) == replace(found, functions=joined(wanted, found).functions)


def test_what_stays_and_what_goes_is_one_line_without_account() -> None:
    """Options by the names they are given by; nothing is said where nothing differs."""
    standing = replace(whole(), **OPTIONS)
    options = (
        "--provisioned 2, --function-url, --permissions-boundary, logs kept for 30 days, 1024 MiB of temporary files"
    )
    line = kept(single(), standing)
    assert line is not None
    assert line.endswith("keeps what it was deployed with: " + _in_order(line, options) + ", 23 other functions")
    line = undone(single(), standing)
    assert line is not None
    assert line.endswith("loses, as it is not asked for: " + _in_order(line, options))
    assert "123456789012" not in line
    assert kept(whole(), whole()) is undone(whole(), whole()) is None
    assert undone(whole(provisioned=3), whole(provisioned=2)) is None  # another one was asked for


def _in_order(line: str, options: str) -> str:
    """The same options in the order in which a line has them."""
    return ", ".join(sorted(options.split(", "), key=line.index))


def test_functions_of_two_pythons_are_no_stack() -> None:
    """They share their layers: another Python is refused where other functions stand, and taken where none does."""
    with pytest.raises(InputError, match=r"23 other functions .* give --python 3\.12"):
        joined(single(), whole(runtime="python3.12"))
    assert joined(single(), single(runtime="python3.12")).runtime == "python3.13"


def test_memory_that_stands_is_allowed() -> None:
    """What the account has let stand is within its quota; nothing stands, nothing is known."""
    assert (largest_mib(None), largest_mib(single())) == (0, 1536)
