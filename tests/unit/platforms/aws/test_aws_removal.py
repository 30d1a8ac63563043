"""Nothing is left, nothing is lost from view, and what is somebody else's is not touched."""

from dataclasses import replace
from pathlib import Path

from botocore.exceptions import ClientError
from deployable import ONE, QUICK, TWO, request
import pytest

from aws_double import AwsDouble
from serverless_mlperf.errors import PlatformError
from serverless_mlperf.platforms.aws.deployment import Deployment
from serverless_mlperf.platforms.aws.leftovers import Leftovers, Stray, stray_of
from serverless_mlperf.platforms.aws.removal import Removal, Remover
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import PROJECT
from serverless_mlperf.platforms.aws.waiting import Patience

BUCKET = f"{PROJECT}-123456789012-us-east-1"
ARTEFACTS = f"{PROJECT}-artifacts-123456789012-us-east-1"
FUNCTION = f"{PROJECT}-classification-ie-ir-1536"


@pytest.fixture
def said() -> list[str]:
    """What was told on the way."""
    return []


@pytest.fixture
def destroy(aws: Aws, said: list[str]) -> Remover:
    """Of the project."""
    return Remover(aws, PROJECT, said.append, QUICK)


@pytest.fixture
def deployed(aws: Aws, tmp_path: Path) -> dict[str, str]:
    """One cell stands."""
    return Deployment(aws, request(tmp_path), lambda _: None, QUICK).deploy()


@pytest.mark.usefixtures("deployed")
def test_bucket_goes_with_versions_markers_and_uploads(destroy: Remover, double: AwsDouble) -> None:
    """A bucket that somebody has made keep versions is emptied of all of them, and of an unfinished upload."""
    s3 = double.api("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=BUCKET, Key="output/a.json", Body=body)
    s3.delete_object(Bucket=BUCKET, Key="output/a.json")
    s3.create_multipart_upload(Bucket=BUCKET, Key="models/big")
    assert destroy.destroy() == Removal(True, ())
    assert double.left() == {}


@pytest.mark.usefixtures("deployed")
def test_more_than_a_page_of_objects(destroy: Remover, double: AwsDouble) -> None:
    """Both listing and deletion go in batches of a thousand."""
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    for number in range(1203):
        backend.put_object(BUCKET, f"output/{number}", b"")
    assert destroy.destroy().left == ()
    assert double.left() == {}


@pytest.mark.usefixtures("deployed")
def test_traffic_is_stopped_first(destroy: Remover, double: AwsDouble, said: list[str]) -> None:
    """Before anything is emptied the bucket triggers nobody and no function may run; what runs is waited for."""
    double.api("s3").put_object(Bucket=BUCKET, Key="input/classification-ie-ir-1536/q.json", Body=b"{}")
    seen = []

    def rest(_: float) -> None:
        lambdas, s3 = double.api("lambda"), double.api("s3")
        told = s3.get_bucket_notification_configuration(Bucket=BUCKET)
        reserved = lambdas.get_function_concurrency(FunctionName=FUNCTION).get("ReservedConcurrentExecutions")
        seen.append(([name for name in told if name.endswith("Configurations")], reserved))
        s3.delete_object(Bucket=BUCKET, Key="input/classification-ie-ir-1536/q.json")  # the query is done
        destroy._patience = QUICK

    destroy._patience = replace(QUICK, rest=rest)
    assert destroy.destroy().left == ()
    assert seen == [([], 0)]
    assert "waiting for queries in flight, 60 s at most" in said


@pytest.mark.usefixtures("deployed")
def test_waiting_for_queries_is_bounded(aws: Aws, double: AwsDouble) -> None:
    """An input that nobody will ever serve is waited for as long as the function's timeout, not longer."""
    double.api("s3").put_object(Bucket=BUCKET, Key="input/lost.json", Body=b"{}")
    now = [0.0]

    def rest(seconds: float) -> None:
        now[0] += 10
        QUICK.rest(seconds)

    patience = Patience(pause_s=0.05, stack_s=1e6, settle_s=1e6, clock_s=lambda: now[0], rest=rest)
    remover = Remover(aws, PROJECT, lambda _: None, patience)
    remover._wait_for_flight()
    assert now[0] == 60
    assert remover.destroy().left == ()


@pytest.mark.usefixtures("deployed")
def test_what_cloudformation_gives_up_is_removed_nevertheless(
    destroy: Remover, double: AwsDouble, said: list[str]
) -> None:
    """After DELETE_FAILED once more, then by force; what CloudFormation leaves is found and removed by ourselves."""
    double.world.stuck |= {"FunctionRole", "LogClassificationIeIr1536", "AliasClassificationIeIr1536"}
    assert destroy.destroy() == Removal(True, ())
    assert sum("was not deleted: DELETE_FAILED" in line for line in said) == 2
    assert [line.split()[0] for line in said if line.endswith("removed, no stack held it")] == ["log", "role"]
    assert double.left() == {}


@pytest.mark.usefixtures("deployed")
def test_what_cannot_be_removed_is_told(destroy: Remover, double: AwsDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that may not be deleted is in the list, with the denied action."""
    double.world.stuck.add("FunctionRole")

    def denied(**_: str) -> None:
        message = "User: x is not authorized to perform: iam:DeleteRole on resource: y"
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "DeleteRole")

    monkeypatch.setattr(destroy._leftovers._iam, "delete_role", denied)
    removal = destroy.destroy()
    (role,) = double.left()["roles"]
    assert f"role {role}" in removal.left
    assert any("iam:DeleteRole is denied" in line for line in removal.left)
    assert list(double.left()) == ["roles"]


@pytest.mark.usefixtures("deployed")
def test_object_that_comes_late_does_not_stop_it(destroy: Remover, double: AwsDouble, said: list[str]) -> None:
    """A function that writes once more after the bucket was emptied: the bucket is emptied again."""
    bucket, empty, late = destroy._data, destroy._data.empty, ["output/late.json"]

    def emptied() -> int:
        count = empty()
        if late:
            double.api("s3").put_object(Bucket=BUCKET, Key=late.pop(), Body=b"{}")
        return count

    bucket.empty = emptied  # type: ignore[method-assign]
    assert destroy.destroy().left == ()
    assert sum("DELETE_FAILED: DataBucket (AWS::S3::Bucket)" in line for line in said) == 1
    assert double.left() == {}


def test_deployment_that_failed_half_way_is_removed(
    aws: Aws, double: AwsDouble, destroy: Remover, tmp_path: Path
) -> None:
    """A failure in the middle, whose clean-up fails as well, leaves a stack that `destroy` removes."""
    double.world.refusals["DataBucket"] = "no"
    double.world.stuck.add("DeadLetterQueue")
    with pytest.raises(PlatformError, match=r"DataBucket .*; run `serverless-mlperf destroy"):
        Deployment(aws, request(tmp_path), lambda _: None, QUICK).deploy()
    assert double.cloudformation.stack(PROJECT).status == "DELETE_FAILED"
    double.world.stuck.clear()
    removal = destroy.destroy()
    assert (removal.found, removal.left) == (True, ())
    assert double.left() == {}


def test_strays_without_a_stack_are_removed(destroy: Remover, double: AwsDouble, said: list[str]) -> None:
    """What bears our tag and name, or is a layer of ours, is removed also when no stack holds it."""
    double.api("sqs").create_queue(QueueName=f"{PROJECT}-a", tags={"app": PROJECT})
    double.api("logs").create_log_group(logGroupName=f"/aws/lambda/{PROJECT}-a", tags={"app": PROJECT})
    content = {"ZipFile": b"PK\x05\x06" + bytes(18)}
    double.api("lambda").publish_layer_version(LayerName=f"{PROJECT}-opencv-x86-64", Content=content)
    assert destroy.destroy() == Removal(True, ())
    assert sorted(line.split(":")[0] for line in said) == [
        f"layer {PROJECT}-opencv-x86-64",
        f"log group /aws/lambda/{PROJECT}-a",
        f"queue {PROJECT}-a",
    ]
    assert double.left() == {}


def test_what_is_not_ours_stays(destroy: Remover, double: AwsDouble) -> None:
    """Another project's things, whose names begin alike, stay unsaid; what only bears our tag is told, not removed."""
    double.api("sqs").create_queue(QueueName=f"{PROJECT}-two-a", tags={"app": f"{PROJECT}-two"})
    double.api("logs").create_log_group(logGroupName=f"/aws/lambda/{PROJECT}-two-a", tags={"app": f"{PROJECT}-two"})
    double.api("sqs").create_queue(QueueName="theirs", tags={"app": PROJECT})
    removal = destroy.destroy()
    assert {line.split(":")[0] for line in removal.left} == {"queue theirs", "removing queue theirs"}
    assert len(double.left()["queues"]) == 2
    assert len(double.left()["log groups"]) == 1


def test_bucket_without_our_tag_is_not_emptied(destroy: Remover, double: AwsDouble) -> None:
    """A bucket that happens to have the name may be somebody's: with objects in it, it is told and left."""
    double.api("s3").create_bucket(Bucket=ARTEFACTS)
    double.api("s3").put_object(Bucket=ARTEFACTS, Key="thesis.tex", Body=b"x")
    removal = destroy.destroy()
    assert [
        "bucket serverless-mlperf-artifacts-<account>-us-east-1" in line and "has no tag app=" in line
        for line in removal.left
    ] == [True]
    assert double.left() == {"buckets": [ARTEFACTS]}


@pytest.mark.usefixtures("deployed")
def test_failure_of_one_step_does_not_stop_the_others(
    aws: Aws, double: AwsDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be looked for is said; all the rest is removed nevertheless."""

    def denied(*_: object) -> list[Stray]:
        raise PlatformError("aws: tag:GetResources is denied")

    monkeypatch.setattr(Leftovers, "find", denied)
    removal = Remover(aws, PROJECT, lambda _: None, QUICK).destroy()
    assert removal.left == ("looking for what is left: aws: tag:GetResources is denied",)
    assert double.left() == {}


def test_tags_of_what_is_gone_are_no_leftovers(aws: Aws, double: AwsDouble, tmp_path: Path) -> None:
    """The tagging API goes on telling of what was deleted; each is looked for where it was."""
    Deployment(aws, request(tmp_path), lambda _: None, QUICK).deploy()
    client = aws.client("resourcegroupstaggingapi")
    tagged = client.get_resources(TagFilters=[{"Key": "app", "Values": [PROJECT]}])["ResourceTagMappingList"]
    arns = [each["ResourceARN"] for each in tagged] + [str(double.cloudformation.stack(PROJECT).stack_id)]
    assert {stray_of(arn).kind for arn in arns} == {"function", "log group", "queue", "bucket", "stack"}
    leftovers = Leftovers(aws, PROJECT)
    leftovers._tagged = lambda: map(stray_of, arns)  # type: ignore[method-assign]
    assert {stray.kind for stray in leftovers.find()} >= {"function", "log group", "queue", "bucket", "stack"}
    assert Remover(aws, PROJECT, lambda _: None, QUICK).destroy().left == ()
    assert leftovers.find() == []


def test_two_projects_do_not_touch_each_other(aws: Aws, double: AwsDouble, tmp_path: Path) -> None:
    """Two stacks side by side: one is destroyed, the other works on."""
    Deployment(aws, request(tmp_path, TWO), lambda _: None, QUICK).deploy()
    other = request(tmp_path, ONE, project="serverless-mlperf-two")
    Deployment(aws, other, lambda _: None, QUICK).deploy()
    assert Remover(aws, PROJECT, lambda _: None, QUICK).destroy().left == ()
    assert double.left()["functions"] == ["serverless-mlperf-two-classification-ie-ir-1536"]
    assert Deployment(aws, other, lambda _: None, QUICK).plan().kind == "none"


@pytest.mark.parametrize(
    ("arn", "stray"),
    [
        ("arn:aws:lambda:us-east-1:1:function:a:live", Stray("function", "a")),
        ("arn:aws:sqs:us-east-1:1:a", Stray("queue", "a")),
        ("arn:aws:logs:us-east-1:1:log-group:/aws/lambda/a:*", Stray("log group", "/aws/lambda/a")),
        ("arn:aws:s3:::a", Stray("bucket", "a")),
        ("arn:aws:iam::1:role/a", Stray("role", "a")),
        ("arn:aws:cloudformation:us-east-1:1:stack/a/0-1", Stray("stack", "a/0-1")),
        ("arn:aws:sns:us-east-1:1:a", Stray("sns", "a")),
    ],
)
def test_arn_tells_what_it_is(arn: str, stray: Stray) -> None:
    """Service and name of what the tagging API lists."""
    assert stray_of(arn) == stray
