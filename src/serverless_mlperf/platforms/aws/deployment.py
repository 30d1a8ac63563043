"""Deploying an experiment's stack: plan first, then artefacts and stack, in the order in which they need each other."""

from collections.abc import Callable
from typing import Any

from serverless_mlperf.platforms.aws.artefacts import Artefacts
from serverless_mlperf.platforms.aws.changes import Plan, creation
from serverless_mlperf.platforms.aws.request import Request
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import StackSpec
from serverless_mlperf.platforms.aws.stack import Stack, TemplateText
from serverless_mlperf.platforms.aws.standing import read
from serverless_mlperf.platforms.aws.template import body, render
from serverless_mlperf.platforms.aws.waiting import Patience


def standing_spec(stack: Stack) -> StackSpec | None:
    """What a stack was deployed with; None when there is none, or nothing of use.

    Raises PlatformError when somebody works on it, InputError when it does not tell.
    """
    if stack.must_be_created() or (template := stack.template()) is None:
        return None
    return read(template, stack.name)


class Deployment:
    """One stack on its way; blocking. What it does can be done again at any point, also after it was cut off."""

    def __init__(
        self,
        aws: Aws,
        request: Request,
        say: Callable[[str], None],
        patience: Patience | None = None,
    ) -> None:
        self._spec = request.spec
        self._zips = request.artefacts
        self._stack = Stack(aws, request.spec.project, say, patience)
        self._artefacts = Artefacts(aws, request.spec.project, say)

    @property
    def template(self) -> dict[str, Any]:
        """What is deployed."""
        return render(self._spec)

    def plan(self) -> Plan:
        """Find out what changes. For a stack that is not there nothing is made; else a change set, to be discarded."""
        if self._stack.must_be_created():
            return creation(self.template)
        return self._stack.plan(self._text(), create=False)

    def discard(self, plan: Plan) -> None:
        """Leave nothing of a plan that is not acted upon."""
        self._stack.discard(plan)

    def act(self, plan: Plan) -> dict[str, str]:
        """Do what was planned: bucket and zips, then the stack; its outputs. Raises BenchmarkError in one line."""
        if plan.kind == "none":
            return self._stack.outputs()
        self._artefacts.ensure()
        for artefact in self._zips:
            self._artefacts.put(artefact)
        if plan.kind == "create":
            self._stack.clear()
            plan = self._stack.plan(self._text(), create=True)
        return self._stack.execute(plan)

    def deploy(self) -> dict[str, str]:
        """Plan and act at once, for who has asked already."""
        return self.act(self.plan())

    def _text(self) -> TemplateText:
        text = TemplateText(body(self._spec))
        if not text.is_large:
            return text
        self._artefacts.ensure()
        return TemplateText(text.body, self._artefacts.put_template(text.body))
