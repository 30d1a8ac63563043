"""The whole of an experiment's stack: deployed, the same again, cells added and removed, and cut off anywhere."""

from dataclasses import replace
from pathlib import Path

import botocore.session
from deployable import QUICK, TWO, WHOLE, request
import pytest
from stack_specs import VARIANTS

from aws_double import AwsDouble
from aws_double.kinds import KINDS, unknown_properties
from serverless_mlperf.platforms.aws.changes import creation
from serverless_mlperf.platforms.aws.deployment import Deployment
from serverless_mlperf.platforms.aws.removal import Remover
from serverless_mlperf.platforms.aws.request import Request
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import PROJECT
from serverless_mlperf.platforms.aws.stack import Stack
from serverless_mlperf.platforms.aws.template import render
from serverless_mlperf.workloads import Cell

BUCKET = f"{PROJECT}-123456789012-us-east-1"
ARTEFACTS = f"{PROJECT}-artifacts-123456789012-us-east-1"


def silent(_: str) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_double_ignores_no_property(variant: str) -> None:
    """What the tests deploy against knows every type and property of every variant of the template."""
    assert unknown_properties(render(VARIANTS[variant]())) == []


def test_double_would_tell_of_a_property_it_ignores() -> None:
    """A type or property that nobody knows is found, and refused at a deployment."""
    template = render(VARIANTS["default"]())
    template["Resources"]["DataBucket"]["Properties"]["AccelerateConfiguration"] = {}
    template["Resources"]["Topic"] = {"Type": "AWS::SNS::Topic", "Properties": {}}
    assert unknown_properties(template) == ["DataBucket.AccelerateConfiguration", "Topic: AWS::SNS::Topic"]


@pytest.mark.parametrize(
    ("kind", "operations"),
    [
        ("AWS::Lambda::Function", ("CreateFunction", "PutFunctionConcurrency")),
        ("AWS::Lambda::LayerVersion", ("PublishLayerVersion",)),
        ("AWS::Lambda::Alias", ("CreateAlias",)),
        ("AWS::Lambda::EventInvokeConfig", ("PutFunctionEventInvokeConfig",)),
        ("AWS::Lambda::Permission", ("AddPermission",)),
        ("AWS::Lambda::Version", ("PublishVersion",)),
    ],
)
def test_double_passes_on_what_the_service_takes(kind: str, operations: tuple[str, ...]) -> None:
    """Its properties are parameters of Lambda's own operations, as botocore's model has them."""
    model = botocore.session.get_session().get_service_model("lambda")
    shapes = [shape for o in operations if (shape := model.operation_model(o).input_shape) is not None]
    parameters = {name for shape in shapes for name in shape.members}
    assert set(KINDS[kind].properties) - parameters <= {"ProvisionedConcurrencyConfig"}


@pytest.fixture
def whole(aws: Aws, tmp_path: Path) -> Deployment:
    """The seed's 24 cells."""
    return Deployment(aws, request(tmp_path, WHOLE), silent, QUICK)


def test_seeds_experiment_comes_and_goes(whole: Deployment, aws: Aws, double: AwsDouble, tmp_path: Path) -> None:
    """24 cells deployed, the same again, cells added and removed, destroyed, and destroyed once more."""
    plan = whole.plan()
    assert {change.action for change in plan.changes} == {"Add"}
    assert double.left() == {}  # planning a stack that is not there makes nothing
    outputs = whole.act(plan)
    assert {kind: len(names) for kind, names in double.left().items()} == {
        "functions": 24, "layers": 2, "buckets": 2, "queues": 25, "roles": 1, "log groups": 24, "stacks": 1
    }  # fmt: skip
    assert len(outputs) == 3 + 2 * 24
    assert whole.plan().kind == "none"
    others = (*WHOLE[4:], Cell("classification", "ie-ir", 1024))
    changed = Deployment(aws, request(tmp_path, others), silent, QUICK)
    changes = (plan := changed.plan()).changes
    assert {c.action for c in changes if c.resource_type == "AWS::Lambda::Function"} == {"Add", "Remove"}
    assert sum(c.action == "Remove" and c.resource_type == "AWS::Lambda::Function" for c in changes) == 4
    changed.act(plan)
    names = set(double.left()["functions"])
    assert names == {f"{PROJECT}-{cell.name.replace('_', '-')}" for cell in others}
    assert Remover(aws, PROJECT, silent, QUICK).destroy().left == ()
    assert double.left() == {}
    assert Remover(aws, PROJECT, silent, QUICK).destroy().found is False


def test_new_code_is_an_update(aws: Aws, tmp_path: Path, double: AwsDouble) -> None:
    """Other code is another key, another version, and the alias leads to it."""
    Deployment(aws, request(tmp_path), silent, QUICK).deploy()
    newer = Deployment(aws, request(tmp_path, code="a = 1000"), silent, QUICK)
    actions = {(c.action, c.resource_type.split("::")[-1]) for c in newer.plan().changes}
    assert {("Add", "Version"), ("Remove", "Version"), ("Modify", "Function"), ("Modify", "Alias")} <= actions
    newer.deploy()
    alias = double.api("lambda").get_alias(FunctionName=f"{PROJECT}-classification-ie-ir-1536", Name="live")
    assert alias["FunctionVersion"] == "2"
    assert len([k for k in _keys(double, ARTEFACTS) if k.startswith("function-")]) == 2


def test_layer_is_uploaded_once(aws: Aws, tmp_path: Path) -> None:
    """A zip that is there under its digest is not sent again, also for another stack of cells."""
    said: list[str] = []
    Deployment(aws, request(tmp_path), said.append, QUICK).deploy()
    Deployment(aws, request(tmp_path, TWO), said.append, QUICK).deploy()
    uploads = [line.split()[1].split("-")[0] for line in said if line.startswith("uploading")]
    assert sorted(uploads) == ["function", "opencv", "openvino"]


def test_deployed_bucket_is_closed_and_triggers_the_alias(aws: Aws, tmp_path: Path, double: AwsDouble) -> None:
    """The bucket as S3 tells of it: encrypted, closed, with the cell's trigger and completion."""
    Deployment(aws, request(tmp_path), silent, QUICK).deploy()
    s3 = double.api("s3")
    blocked = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert blocked == dict.fromkeys(blocked, True)
    assert len(blocked) == 4
    told = s3.get_bucket_notification_configuration(Bucket=BUCKET)
    (trigger,), (completion,) = told["LambdaFunctionConfigurations"], told["QueueConfigurations"]
    assert trigger["LambdaFunctionArn"].endswith(f":function:{PROJECT}-classification-ie-ir-1536:live")
    assert completion["QueueArn"].endswith(f":{PROJECT}-classification-ie-ir-1536")


def test_query_reaches_the_right_function(aws: Aws, tmp_path: Path, double: AwsDouble) -> None:
    """A PUT of a query's JSON invokes the one version that its cell's alias leads to; nothing else invokes anything."""
    Deployment(aws, request(tmp_path, TWO), silent, QUICK).deploy()
    for key in ("input/object_detection-ocv-tf-768/q.txt", "output/object_detection-ocv-tf-768/q.json", "input/q.json"):
        double.api("s3").put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    assert double.invoked == []
    double.api("s3").put_object(Bucket=BUCKET, Key="input/object_detection-ocv-tf-768/q.json", Body=b"{}")
    assert double.invoked == [(f"{PROJECT}-object-detection-ocv-tf-768", "1")]


def test_every_variant_is_deployed(aws: Aws, double: AwsDouble, tmp_path: Path) -> None:
    """URL and provisioned concurrency, or snapshots: each comes up, and goes."""
    for options in ({"function_url": True, "provisioned": 2, "reserve": True}, {"snap_start": True}):
        outputs = Deployment(aws, request(tmp_path, **options), silent, QUICK).deploy()
        assert any(name.startswith("Url") for name in outputs) is ("function_url" in options)
        assert len(double.account.provisioned) == ("provisioned" in options)
        assert Remover(aws, PROJECT, silent, QUICK).destroy().left == ()
        assert double.left() == {}
        assert double.account.provisioned == {}


class Interrupted:
    """Interrupts, as Ctrl-C does, when something that begins so is said."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __call__(self, line: str) -> None:
        """Hear a line."""
        if line.strip().startswith(self._words):
            raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["uploading function", "uploading openvino", "change set", "waiting"])
@pytest.mark.parametrize("then", ["deploy", "destroy"])
def test_cut_off_deployment_goes_on_or_goes(
    moment: str, then: str, aws: Aws, double: AwsDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever Ctrl-C hits a first deployment, the next one completes it, and `destroy` leaves nothing of it."""
    wanted = request(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        _cut_off(moment, aws, wanted, double, monkeypatch)
    double.cloudformation.join()  # AWS goes on with what it has begun
    if then == "deploy":
        assert "BucketName" in Deployment(aws, wanted, silent, QUICK).deploy()
        assert Deployment(aws, wanted, silent, QUICK).plan().kind == "none"
    removal = Remover(aws, PROJECT, silent, QUICK).destroy()
    assert removal.found
    assert removal.left == ()
    assert double.left() == {}


def _cut_off(moment: str, aws: Aws, wanted: Request, double: AwsDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if moment == "waiting":
        double.world.go_on.clear()
        Deployment(aws, wanted, silent, replace(QUICK, rest=interrupt)).deploy()
    elif moment == "change set":
        with monkeypatch.context() as patch:
            patch.setattr(Stack, "execute", interrupt)
            Deployment(aws, wanted, silent, QUICK).deploy()
    else:
        Deployment(aws, wanted, Interrupted(moment), QUICK).deploy()


def test_cut_off_update_goes_on(aws: Aws, double: AwsDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of an update: the next deployment finds it done, or does it."""
    Deployment(aws, request(tmp_path), silent, QUICK).deploy()
    with pytest.raises(KeyboardInterrupt):
        _cut_off("waiting", aws, request(tmp_path, TWO), double, monkeypatch)
    double.cloudformation.join()
    assert Deployment(aws, request(tmp_path, TWO), silent, QUICK).plan().kind == "none"


def test_plan_in_words() -> None:
    """A sum, then every change with its sign."""
    lines = list(creation(render(VARIANTS["default"]())).lines())
    assert lines[0] == "create: 198 Add"
    assert "  + AWS::Lambda::Function              FunctionClassificationIeIr768" in lines
    assert len(lines) == 199


def _keys(double: AwsDouble, bucket: str) -> list[str]:
    return [each["Key"] for each in double.api("s3").list_objects_v2(Bucket=bucket)["Contents"]]
