"""What stands, and what it costs while nobody uses it."""

from pathlib import Path

from deployable import QUICK, TWO, request

from aws_double import AwsDouble
from serverless_mlperf.platforms.aws.deployment import Deployment
from serverless_mlperf.platforms.aws.inventory import take_inventory
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import PROJECT

BUCKET = f"{PROJECT}-123456789012-us-east-1"


def test_nothing_stands(aws: Aws) -> None:
    """An empty account is one line."""
    assert list(take_inventory(aws, PROJECT).lines()) == [f"nothing of {PROJECT} stands in us-east-1"]


def test_what_stands_is_listed(aws: Aws, double: AwsDouble, tmp_path: Path) -> None:
    """Functions, queues with messages, buckets with objects, and the price of what is provisioned, as an estimate."""
    Deployment(aws, request(tmp_path, TWO, reserve=True, provisioned=2), lambda _: None, QUICK).deploy()
    double.api("s3").put_object(Bucket=BUCKET, Key="output/classification-ie-ir-1536/a.json", Body=bytes(2**20))
    lines = list(take_inventory(aws, PROJECT).lines())
    assert lines[0] == f"stack {PROJECT}: CREATE_COMPLETE"
    assert lines[1] == (
        f"  {PROJECT}-classification-ie-ir-1536: 1536 MB, x86_64, 4 reserved, 2 provisioned: paid for while they stand"
    )
    (queues,) = [line for line in lines if line.startswith("  3 queues, ")]
    assert f"{PROJECT}-classification-ie-ir-1536: 2 messages" in queues  # S3 tells of being set up, and of the object
    assert f"  bucket {PROJECT}-<account>-us-east-1: 1 objects, 1.0 MiB" in lines
    (price,) = [line for line in lines if line.startswith("estimated price, idle: ")]
    ready = (2 * 1536 + 2 * 768) / 1024 * 3600 * 4.1667e-6  # USD an hour at us-east-1's list price
    assert abs(float(price.split()[3]) - ready) < 0.0002


def test_half_made_stack_is_told(aws: Aws, double: AwsDouble) -> None:
    """A stack that AWS still works on is told with its status."""
    double.cloudformation._new_stack(PROJECT).become("CREATE_IN_PROGRESS")
    assert next(take_inventory(aws, PROJECT).lines()) == f"stack {PROJECT}: CREATE_IN_PROGRESS"


def test_region_without_prices_has_no_estimate(aws: Aws, tmp_path: Path) -> None:
    """A price that is not known is said not to be known, never 0."""
    Deployment(aws, request(tmp_path), lambda _: None, QUICK).deploy()
    from dataclasses import replace

    elsewhere = replace(take_inventory(aws, PROJECT), region="eu-south-9")
    assert any(line.startswith("estimated price: not known (region eu-south-9") for line in elsewhere.lines())
