"""A stack is planned, executed, waited for, and its failures are told by their first cause."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from botocore.stub import Stubber
from deployable import ONE, QUICK, TWO, request
import pytest

from aws_double import AwsDouble
from serverless_mlperf.errors import InputError, PlatformError
from serverless_mlperf.platforms.aws.deployment import Deployment
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import PROJECT
from serverless_mlperf.platforms.aws.stack import Stack, TemplateText
from serverless_mlperf.platforms.aws.template import body

FUNCTION = "FunctionClassificationIeIr1536"
Deploy = Callable[..., dict[str, str]]


@pytest.fixture
def said() -> list[str]:
    """What was told on the way."""
    return []


@pytest.fixture
def deploy(aws: Aws, tmp_path: Path, said: list[str]) -> Deploy:
    """Deploy some cells, with options of `request`."""

    def now(cells: tuple[object, ...] = ONE, **options: object) -> dict[str, str]:
        wanted = request(tmp_path, cells, **options)  # type: ignore[arg-type]
        return Deployment(aws, wanted, said.append, QUICK).deploy()

    return now


@pytest.fixture
def stack(aws: Aws, said: list[str]) -> Stack:
    """The project's stack."""
    return Stack(aws, PROJECT, said.append, QUICK)


def test_progress_is_told(deploy: Deploy, said: list[str]) -> None:
    """While CloudFormation works, how many resources are done, of how many, ever more."""
    deploy()
    counts = [int(line.split()[0]) for line in said if "resources done" in line]
    assert counts == sorted(set(counts))
    assert all(" of " in line for line in said if "resources done" in line)


def test_change_sets_are_of_the_project(deploy: Deploy, double: AwsDouble) -> None:
    """Their names begin with it, which is what the deploying policy allows; the role is nameless."""
    deploy()
    deploy(project="other-project")
    sets = list(double.cloudformation.change_sets.values())
    assert [(s.name.rpartition("-")[0], s.stack.name) for s in sets] == [(p, p) for p in (PROJECT, "other-project")]
    assert [s.capabilities for s in sets] == [["CAPABILITY_IAM"]] * 2


def test_failure_is_told_by_its_first_cause(deploy: Deploy, double: AwsDouble) -> None:
    """Not ROLLBACK_COMPLETE: the resource that failed first, its reason, and what to do about it."""
    double.world.refusals[FUNCTION] = (
        "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to 3008"
    )
    with pytest.raises(PlatformError) as raised:
        deploy()
    assert f"was not created: {FUNCTION} (AWS::Lambda::Function): " in str(raised.value)
    assert "memory quota is lower" in str(raised.value)
    assert str(raised.value).endswith("nothing of it is left")


def test_failed_creation_leaves_no_stack(deploy: Deploy, double: AwsDouble, stack: Stack) -> None:
    """A first deployment that fails is taken back as a whole, and works once its cause is gone."""
    double.world.refusals["DataBucket"] = "no"
    with pytest.raises(PlatformError, match="DataBucket"):
        deploy()
    assert stack.status() is None
    assert list(double.left()) == ["buckets"]  # the artefacts', which the next deployment uses
    double.world.refusals.clear()
    assert "BucketName" in deploy()


def test_failed_update_is_as_before(deploy: Deploy, double: AwsDouble, stack: Stack) -> None:
    """An update that fails is rolled back: the outputs are the former ones, and it can be repeated."""
    before = deploy()
    double.world.refusals["FunctionObjectDetectionOcvTf768"] = "no"
    with pytest.raises(PlatformError, match=r"not updated: FunctionObjectDetectionOcvTf768.*the stack is as before"):
        deploy(TWO)
    assert stack.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.outputs() == before
    double.world.refusals.clear()
    assert len(deploy(TWO)) == len(before) + 2


def test_rolled_back_stack_is_made_anew(deploy: Deploy, double: AwsDouble, said: list[str]) -> None:
    """ROLLBACK_COMPLETE, from whoever made it so, holds nothing: it is deleted, which is said, and created."""
    state = double.cloudformation._new_stack(PROJECT)
    state.become("ROLLBACK_COMPLETE")
    assert "BucketName" in deploy()
    assert [line for line in said if "ROLLBACK_COMPLETE" in line] == [
        f"stack {PROJECT} is ROLLBACK_COMPLETE: it is deleted and created anew"
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("UPDATE_IN_PROGRESS", "the stack is UPDATE_IN_PROGRESS: somebody else"),
        ("DELETE_IN_PROGRESS", "the stack is DELETE_IN_PROGRESS"),
        ("DELETE_FAILED", "is DELETE_FAILED; run `serverless-mlperf destroy"),
        ("UPDATE_ROLLBACK_FAILED", "is UPDATE_ROLLBACK_FAILED; run `serverless-mlperf destroy"),
    ],
)
def test_stack_in_other_hands_is_left_alone(deploy: Deploy, double: AwsDouble, status: str, words: str) -> None:
    """Nothing is begun on a stack that somebody works on, or that is half removed."""
    double.cloudformation._new_stack(PROJECT).become(status)
    with pytest.raises(PlatformError, match=words):
        deploy()
    assert "buckets" not in double.left()


def test_nothing_changes_twice(deploy: Deploy, said: list[str], double: AwsDouble) -> None:
    """The same again changes nothing, uploads nothing, and leaves no change set."""
    first = deploy()
    said.clear()
    assert deploy() == first
    assert said == []
    assert [s.execution for s in double.cloudformation.change_sets.values()] == ["EXECUTE_COMPLETE"]


def test_refusal_to_change_nothing_is_no_failure(stack: Stack, deploy: Deploy, tmp_path: Path) -> None:
    """Where CreateChangeSet itself is refused for want of changes, as by moto, that is the same."""
    deploy()
    text = TemplateText(body(request(tmp_path).spec))
    with Stubber(stack._client) as stubber:
        stubber.add_response("list_change_sets", {"Summaries": []})
        stubber.add_client_error("create_change_set", "ValidationError", "No updates are to be performed.")
        assert stack.plan(text, create=False).kind == "none"


def test_plans_that_were_cut_off_are_removed(stack: Stack, deploy: Deploy, double: AwsDouble, tmp_path: Path) -> None:
    """A change set of ours that was never executed does not stay; somebody else's does."""
    deploy()
    text = TemplateText(body(request(tmp_path, TWO).spec))
    stack.plan(text, create=False)
    others = replace(
        next(iter(double.cloudformation.change_sets.values())), arn="arn:x", name="theirs", execution="AVAILABLE"
    )
    double.cloudformation.change_sets["arn:x"] = others
    stack.plan(text, create=False)
    waiting = [s.name for s in double.cloudformation.change_sets.values() if s.execution == "AVAILABLE"]
    assert sorted(name.split("-")[0] for name in waiting) == ["serverless", "theirs"]


def test_discarded_plan_leaves_nothing(stack: Stack, double: AwsDouble, tmp_path: Path) -> None:
    """Also not the empty stack that a first change set makes."""
    found = stack.plan(TemplateText(body(request(tmp_path).spec)), create=True)
    assert stack.status() == "REVIEW_IN_PROGRESS"
    stack.discard(found)
    assert stack.status() is None
    assert double.cloudformation.change_sets == {}


def test_change_set_that_fails_says_why(stack: Stack) -> None:
    """A template that CloudFormation does not accept is the reason that it gives; nothing of it stays."""
    with Stubber(stack._client) as stubber:
        stubber.add_response("list_change_sets", {"Summaries": []})
        stubber.add_response("create_change_set", {"Id": "arn:aws:cloudformation:c", "StackId": "s"})
        stubber.add_response(
            "describe_change_set", {"Status": "FAILED", "StatusReason": "Transform AWS::X failed with: no"}
        )
        stubber.add_response("delete_change_set", {})
        with pytest.raises(InputError, match="cannot be planned: Transform AWS::X failed with: no"):
            stack.plan(TemplateText("{}"), create=False)
        stubber.assert_no_pending_responses()


def test_waiting_has_an_end(double: AwsDouble, aws: Aws, tmp_path: Path) -> None:
    """A stack that is not done in time is told of; AWS goes on, and so does the next deployment."""
    clock = iter(range(0, 10_000, 100))
    hurried = replace(QUICK, stack_s=300, clock_s=lambda: float(next(clock)))
    deployment = Deployment(aws, request(tmp_path), lambda _: None, hurried)
    plan = deployment.plan()
    double.world.go_on.clear()
    with pytest.raises(PlatformError, match="is not done after 300 s; AWS goes on"):
        deployment.act(plan)
    double.cloudformation.join()
    assert Deployment(aws, request(tmp_path), lambda _: None, QUICK).plan().kind == "none"


def test_outputs_of_no_stack_are_an_error(stack: Stack) -> None:
    """Who asks for them is told to deploy."""
    with pytest.raises(PlatformError, match="there is no stack serverless-mlperf; run `serverless-mlperf deploy"):
        stack.outputs()


def test_large_template_is_read_from_the_bucket(deploy: Deploy, double: AwsDouble) -> None:
    """Above 51,200 bytes CloudFormation takes no body: the double refuses it, as AWS does."""
    cells = tuple(replace(cell, memory_mib=m) for cell in TWO for m in range(768, 768 + 12))
    deploy(cells)
    keys = [
        o["Key"]
        for o in double.api("s3").list_objects_v2(Bucket=f"{PROJECT}-artifacts-123456789012-us-east-1")["Contents"]
    ]
    assert [key for key in keys if key.startswith("template-")] != []


def test_every_resource_that_can_be_is_tagged(deploy: Deploy, aws: Aws) -> None:
    """What the tagging API finds is what `destroy` can find."""
    deploy()
    client = aws.client("resourcegroupstaggingapi")
    found = client.get_resources(TagFilters=[{"Key": "app", "Values": [PROJECT]}])["ResourceTagMappingList"]
    services = {each["ResourceARN"].split(":")[2] for each in found}
    assert services >= {"lambda", "sqs", "logs", "s3"}
