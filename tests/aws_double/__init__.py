"""AWS in this process, for tests: moto's services, and a CloudFormation that makes resources by their own APIs.

moto's own CloudFormation silently drops what it does not know (layers, triggers, aliases, policies), makes everything
at once, never fails and never rolls back. This one knows the template's types alone, refuses a property it does not
know, works in a thread, reports events, rolls back, and will not delete a bucket with objects in it.
"""

from aws_double.server import AwsDouble, running

__all__ = ["AwsDouble", "running"]
