"""The stack's CloudFormation template, rendered from a value: no parameters, no clock, no network.

`render` gives the document, `body` its text; the `..._output` name what a deployed stack tells of each function.
"""

from serverless_mlperf.platforms.aws.template.document import body, render
from serverless_mlperf.platforms.aws.template.logical_ids import alias_output, queue_output, url_output

__all__ = ["alias_output", "body", "queue_output", "render", "url_output"]
