"""JSON documents for Lambda and SQS, of fields that exist and values of any kind."""

from typing import Any

from hypothesis import strategies as st

QUEUE = "http://127.0.0.1/000000000000/q"
Anything = st.SearchStrategy[Any]
texts = st.text(max_size=8) | st.sampled_from(
    ["", "f", "q", "../../x", "/etc/passwd", "\0", "\ud800", "x" * 300, QUEUE,
     "arn:aws:lambda:us-east-1:000000000000:function:f", "$LATEST", "1",
     "python3.11", "app.handler", "s3.amazonaws.com"]
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | texts
values: Anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
FIELDS = [
    "FunctionName", "Runtime", "Role", "Handler", "Code", "Description", "Timeout", "MemorySize", "Layers",
    "Environment", "VpcConfig", "PackageType", "Publish", "Tags", "Architectures", "EphemeralStorage",
    "DeadLetterConfig", "SnapStart", "TracingConfig", "KMSKeyArn", "ImageConfig", "FileSystemConfigs",
    "LoggingConfig", "RevisionId", "ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion", "DryRun", "CodeSha256",
    "Name", "FunctionVersion", "RoutingConfig", "StatementId", "Action", "Principal", "SourceArn", "SourceAccount",
    "ReservedConcurrentExecutions", "MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig",
    "LayerName", "Content", "CompatibleRuntimes", "AuthType", "Cors",
]  # fmt: skip
CALLS = [
    ("POST", "/2015-03-31/functions"), ("PUT", "/2015-03-31/functions/{}/configuration"),
    ("PUT", "/2015-03-31/functions/{}/code"), ("POST", "/2015-03-31/functions/{}/versions"),
    ("POST", "/2015-03-31/functions/{}/aliases"), ("PUT", "/2015-03-31/functions/{}/aliases/{}"),
    ("POST", "/2015-03-31/functions/{}/policy"), ("DELETE", "/2015-03-31/functions/{}/policy/{}"),
    ("PUT", "/2017-10-31/functions/{}/concurrency"), ("PUT", "/2019-09-25/functions/{}/event-invoke-config"),
    ("POST", "/2018-10-31/layers/{}/versions"), ("GET", "/2018-10-31/layers/{}/versions/{}"),
    ("POST", "/2017-03-31/tags/{}"), ("GET", "/2015-03-31/functions/{}"), ("GET", "/2015-03-31/functions"),
    ("POST", "/2021-10-31/functions/{}/url"), ("GET", "/2015-03-31/functions/{}/policy"),
    ("POST", "/2015-03-31/functions/{}/invocations"),
]  # fmt: skip
ATTRIBUTES = [
    "QueueName", "Attributes", "MessageBody", "DelaySeconds", "MessageAttributes",
    "MaxNumberOfMessages", "VisibilityTimeout", "ReceiptHandle", "Entries", "AttributeNames",
    "MessageSystemAttributeNames", "Tags", "TagKeys", "QueueNamePrefix", "MaxResults", "NextToken",
    "MessageDeduplicationId", "tags", "MessageAttributeNames", "QueueUrl",
]  # fmt: skip
ACTIONS = [
    "CreateQueue", "GetQueueUrl", "ListQueues", "DeleteQueue", "PurgeQueue", "GetQueueAttributes",
    "SetQueueAttributes", "SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage",
    "DeleteMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "TagQueue", "UntagQueue",
    "ListQueueTags", "ListDeadLetterSourceQueues", "None",
]  # fmt: skip
entries: Anything = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["Id", "MessageBody", "ReceiptHandle", "VisibilityTimeout", "MessageAttributes"], values)
)
