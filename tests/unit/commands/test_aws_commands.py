"""`deploy`, `status` and `destroy` as a user types them, against AWS in this process."""

from collections.abc import Callable, Iterator
import csv
import io
import json
import signal
import subprocess
import sys
import threading

import pytest

from aws_double import AwsDouble
from serverless_mlperf import cli
from serverless_mlperf.commands.deploy import _request
from serverless_mlperf.config import checked_config
from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.aws.packaging import packages_for
from serverless_mlperf.platforms.aws.request import Options

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CELL = ("--cv-task", "classification", "--engine-and-format", "ocv-tf", "--memory", "768", "--python", PYTHON)
AWS = ("--platform", "aws")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command line; its exit status, what it printed, and what it said on stderr."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["serverless-mlperf", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    yield command
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        """So it is."""
        return True


def test_stack_comes_and_goes_by_commands(run: Run, double: AwsDouble) -> None:
    """Planned, deployed, the same again, looked at, removed, and removed once more."""
    status, planned, _ = run("deploy", *AWS, *CELL, "--plan")
    assert status == 0
    assert planned.startswith("account ********9012, region us-east-1\nestimated price, idle: ")
    assert "create: 13 Add" in planned
    assert double.left() == {}
    status, deployed, _ = run("deploy", *AWS, *CELL, "--yes")
    assert status == 0
    assert "deployed: 1 functions, bucket serverless-mlperf-<account>-us-east-1" in deployed
    assert double.left()["functions"] == ["serverless-mlperf-classification-ocv-tf-768"]
    assert run("deploy", *AWS, *CELL, "--yes")[1].endswith("nothing changes\n")
    status, standing, _ = run("status", *AWS)
    assert status == 0
    assert "stack serverless-mlperf: CREATE_COMPLETE\n" in standing
    assert "classification-ocv-tf-768: 768 MB, x86_64, 4 reserved" in standing
    status, destroyed, _ = run("destroy", *AWS, "--yes")
    assert status == 0
    assert destroyed.endswith("nothing of serverless-mlperf is left\n")
    assert double.left() == {}
    assert "123456789012" not in planned + deployed + standing + destroyed
    assert run("destroy", *AWS, "--yes")[:2] == (
        0,
        "account ********9012, region us-east-1\nthere was nothing of serverless-mlperf\n",
    )


@pytest.mark.parametrize(("answer", "status", "words"), [("n\n", 1, "nothing was changed"), ("y\n", 0, "deployed: 1")])
def test_nothing_is_made_unasked(
    run: Run, double: AwsDouble, monkeypatch: pytest.MonkeyPatch, answer: str, status: int, words: str
) -> None:
    """At a terminal one is asked, having seen account, price and changes; a no leaves nothing."""
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ended, said, _ = run("deploy", *AWS, *CELL)
    assert (ended, words in said) == (status, True)
    assert ("functions" in double.left()) is (status == 0)
    assert said.index("account ****") < said.index("estimated price") < said.index("create: 13 Add")


def test_no_to_an_update_leaves_no_change_set(run: Run, double: AwsDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of a stack that stands is CloudFormation's change set: it does not stay, nor after --plan."""
    run("deploy", *AWS, *CELL, "--yes")
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    status, said, _ = run("deploy", *AWS, *CELL, "--timeout", "30")
    assert (status, "update: " in said) == (1, True)
    assert run("deploy", *AWS, *CELL, "--timeout", "30", "--plan")[0] == 0
    assert [s.execution for s in double.cloudformation.change_sets.values()] == ["EXECUTE_COMPLETE"]


def test_status_for_machines(run: Run, double: AwsDouble) -> None:
    """A document, or a row for each thing; on stdout nothing else, and no account."""
    status, empty, _ = run("status", *AWS, "--json")
    assert (status, json.loads(empty)["stack"], json.loads(empty)["functions"]) == (0, None, [])
    assert run("status", *AWS, "--csv")[1].strip() == ""
    run("deploy", *AWS, *CELL, "--yes")
    _, printed, said = run("status", *AWS, "--json")
    document = json.loads(printed)
    assert said == "account ********9012, region us-east-1\n"
    (function,) = document["functions"]
    assert (document["stack"], function["memory_mib"], function["reserved"]) == ("CREATE_COMPLETE", 768, 4)
    assert document["estimated_idle_usd_month"] > 0
    assert {bucket["name"].partition("<account>")[1] for bucket in document["buckets"]} == {"<account>"}
    table = run("status", *AWS, "--csv")[1]
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["kind"] for row in rows] == ["stack", "function", "queue", "queue", "bucket", "bucket"]
    assert rows[1]["name"] == function["name"] == double.left()["functions"][0]
    assert "123456789012" not in printed + table


def test_deployment_is_what_is_asked_for(run: Run, double: AwsDouble) -> None:
    """The same again is no change; without an option that stands the plan says so, and it goes."""
    assert run("deploy", *AWS, *CELL, "--function-url", "--yes")[0] == 0
    assert run("deploy", *AWS, *CELL, "--function-url", "--yes")[1].endswith("nothing changes\n")
    _, planned, _ = run("deploy", *AWS, *CELL, "--plan")
    assert "stack serverless-mlperf loses, as it is not asked for: --function-url\n" in planned
    assert "- AWS::Lambda::Url" in planned
    assert "loses" not in run("deploy", *AWS, *CELL, "--yes", "--function-url", "--timeout", "30")[1]
    assert double.left()["stacks"] == ["serverless-mlperf"]


def test_packages_of_this_host_are_not_for_aws() -> None:
    """A Python without pinned wheels is refused for AWS though it is this host's; a test server takes it."""
    config = checked_config({"platform": "aws", "python": "3.11"}, "options")
    with pytest.raises(InputError, match=r"--python 3\.11: packages for Lambda are built for"):
        _request(config, Options(runtime="python3.11"), local=False)
    with pytest.raises(InputError, match=r"--python 3\.11"):
        packages_for("3.11", "ie-ir", "x86_64", local=False)


@pytest.mark.usefixtures("no_credentials")
def test_template_needs_no_account(run: Run) -> None:
    """--template-only prints JSON alone, where nobody has credentials and nothing can be asked."""
    status, printed, said = run("deploy", *AWS, *CELL, "--template-only", "--function-url")
    assert (status, said) == (0, "")
    kinds = {resource["Type"] for resource in json.loads(printed)["Resources"].values()}
    assert {"AWS::Lambda::Function", "AWS::Lambda::Url", "AWS::S3::Bucket"} <= kinds


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deploy",), "the local platform has nothing standing"),
        (("deploy", "--platform", "local"), "the local platform has nothing standing"),
        (("destroy",), "the local platform has nothing standing"),
        (("status", "--platform", "local"), "the local platform has nothing standing"),
        (("status", "--platform", "gcp"), "platform 'gcp' is unknown; known are local, aws"),
        (("deploy", *AWS), "nobody can be asked here"),
        (("destroy", *AWS), "nobody can be asked here"),
        (("destroy", *AWS, "--yes", "--region", "us-east-1"), "no credentials; run `aws configure`"),
        (("status", *AWS), "no region; give --region"),
        (("deploy", *AWS, "--plan", "--profile", "nobody"), "(nobody) could not be found"),
        (("destroy", *AWS, "--project", "No Name"), "project 'No Name': 3 to 24 of a-z"),
        (("deploy", *AWS, "--memory", "768", "--memory-type", "0"), "say the same thing"),
        (("deploy", *AWS, "--memory", "127"), "memory_mib: Input should be greater than or equal to 128"),
        (("deploy", *AWS, "--provisioned", "-1"), "Invalid value for '--provisioned'"),
    ],
)
def test_bad_input_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    """Status 2, and a line that says what to do."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    status, printed, said = run(*arguments)
    assert (status, printed) == (2, "")
    assert words in said
    assert said.count("\n") == 1


def test_quota_is_told_before_the_plan(run: Run, double: AwsDouble) -> None:
    """In a new account: what is clipped, and why."""
    double.account.concurrent = double.account.unreserved = 10
    _, said, _ = run("deploy", *AWS, *CELL, "--plan")
    assert "reserved concurrency clipped from 4 to 0: the account runs 10 at once" in said
    status, _, wrong = run("deploy", *AWS, *CELL, "--plan", "--memory", "4096", "--memory-quota", "3008")
    assert status == 0  # one cell is left
    assert wrong == ""


def test_interruption_is_told_and_leaves_nothing_behind(run: Run, double: AwsDouble) -> None:
    """Ctrl-C while CloudFormation works: it goes on, which is said; `destroy` waits for it and removes it."""
    double.world.go_on.clear()
    command = [sys.executable, "-m", "serverless_mlperf", "deploy", *AWS, *CELL, "--yes"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as deploying:
        while not any(stack.status == "CREATE_IN_PROGRESS" for stack in double.cloudformation.stacks):
            assert deploying.poll() is None
            threading.Event().wait(0.05)
        deploying.send_signal(signal.SIGINT)
        _, said = deploying.communicate(timeout=60)
    assert deploying.returncode == 130
    assert said.startswith("interrupted: what AWS has begun it goes on with; `status` tells how far it is")
    assert "Traceback" not in said
    double.world.go_on.set()
    assert run("destroy", *AWS, "--yes")[0] == 0
    assert double.left() == {}


def test_what_is_left_is_listed(run: Run, double: AwsDouble) -> None:
    """Exit status 1, and the list on stderr."""
    double.api("sqs").create_queue(QueueName="theirs", tags={"app": "serverless-mlperf"})
    status, _, said = run("destroy", *AWS, "--yes")
    assert status == 1
    assert said.startswith("left of serverless-mlperf:\n")
    assert "queue theirs" in said
