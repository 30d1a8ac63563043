"""The matrix is made to fit what the account allows, and everything left out is named with its reason."""

from dataclasses import replace
from pathlib import Path

from deployable import QUICK, request
import pytest
from stack_specs import reserved, single, whole

from aws_double import AwsDouble
from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.aws.deployment import Deployment
from serverless_mlperf.platforms.aws.quotas import Quotas, fitted, read_quotas
from serverless_mlperf.platforms.aws.session import Aws

GROWN = Quotas(1000, 1000)
NEW = Quotas(10, 10)


def test_what_fits_is_unchanged() -> None:
    """A grown account runs the seed's 24 cells, four environments each, with not a word."""
    assert fitted(reserved(4), GROWN) == (reserved(4), ())


def test_new_account_reserves_nothing() -> None:
    """100 executions must stay unreserved: of 10 none can be reserved, and all functions share them."""
    spec, notes = fitted(reserved(4), NEW)
    assert {f.reserved for f in spec.functions} == {None}
    assert len(spec.functions) == 24
    (note,) = notes
    assert note.startswith("reserved concurrency clipped from 96 to 0: the account runs 10 at once, 10 of them")
    assert "without a reservation: classification-ie-ir-768, " in note


def test_reservations_shrink_in_proportion() -> None:
    """Of 148 executions 48 can be reserved: two for each of 24 functions that wanted four."""
    spec, notes = fitted(reserved(4), Quotas(1000, 148))
    assert [f.reserved for f in spec.functions] == [2] * 24
    assert "clipped from 96 to 48" in notes[0]


@pytest.mark.parametrize(("unreserved", "granted"), [(195, 3), (196, 4)])
def test_boundary_of_what_can_be_reserved(unreserved: int, granted: int) -> None:
    """96 reservations need exactly 196."""
    spec, notes = fitted(reserved(4), Quotas(1000, unreserved))
    assert {f.reserved for f in spec.functions} == {granted}
    assert bool(notes) is (granted == 3)


def test_memory_of_a_new_account_is_presumed() -> None:
    """No API tells it: below 1,000 executions more than 3,008 MB is left out by name, unless one says otherwise."""
    spec = whole()
    large = replace(spec.functions[0], memory_mib=10_240, cell_name="a-10240")
    wanted = replace(spec, functions=(*spec.functions, large))
    kept, notes = fitted(wanted, NEW)
    assert kept.functions == spec.functions
    assert notes[0].startswith("left out: a-10240: a new account's functions have 3008 MB at most")
    assert fitted(wanted, NEW, memory_quota_mib=10_240) == (wanted, ())
    assert fitted(wanted, GROWN) == (wanted, ())


def test_nothing_left_is_an_error() -> None:
    """A matrix of which no cell fits is refused."""
    spec = single()
    wanted = replace(spec, functions=(replace(spec.functions[0], memory_mib=3009),))
    with pytest.raises(InputError, match=r"nothing is left of the matrix; left out: classification-ie-ir-1536"):
        fitted(wanted, NEW)


@pytest.mark.parametrize(
    ("spec", "quotas", "granted"),
    [
        (whole(provisioned=2), GROWN, 2),
        (whole(provisioned=50), GROWN, 37),  # 900 // 24
        (whole(provisioned=2), NEW, 0),
        (replace(reserved(5), provisioned=8), GROWN, 5),
        (replace(reserved(5), provisioned=5), GROWN, 5),
    ],
)
def test_provisioned_concurrency_fits_as_well(spec: object, quotas: Quotas, granted: int) -> None:
    """It comes out of a function's reservation, or out of what nobody has reserved."""
    made, notes = fitted(spec, quotas)  # type: ignore[arg-type]
    assert made.provisioned == granted
    assert any("provisioned concurrency clipped" in note for note in notes) is (granted != spec.provisioned)  # type: ignore[attr-defined]


def test_own_reservations_count_as_free(aws: Aws, double: AwsDouble, tmp_path: Path) -> None:
    """When a stack is deployed again, what its own functions have reserved is not lacking."""
    wanted = request(tmp_path, reserve=True)
    Deployment(aws, wanted, lambda _: None, QUICK).deploy()
    double.account.unreserved = 996
    assert read_quotas(aws, wanted.spec) == Quotas(1000, 1000)
