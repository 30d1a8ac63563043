"""A package in the seed's form runs unchanged: set up with boto3 alone, started by S3 events.

The form is the seed's: boto3 from the runtime, helpers and an engine from layers, a client and the model at module
level, BUCKET_NAME and MODELS_PATH in the environment, and a handler that reads an input file and its images, writes an
output file, moves the input file to `completed/`.
"""

from collections.abc import Iterator, Mapping
import io
import json
import sys
from typing import Any
import zipfile

import pytest

from local_server import client

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
FUNCTION = {
    "lambda_function.py": """
import time
init_time = time.time()
from dldt_tools.processing_layer import HandlerApp

engine_and_format = "ie-ir"
backend = HandlerApp(engine_and_format)
backend.init("mobilenet-ov-runtime", "mobilenetv1/FP32/", make_profiling=True)

def lambda_handler(event, context):
    init_time = time.time()
    print(event)
    h_var = backend.init_handler_variables(event)
    backend.make_aws_inference(h_var)
    finish_time = time.time()
    h_var["OutputData"]["start_time"] = init_time
    h_var["OutputData"]["finish_time"] = finish_time
    backend.deliver_output_data(h_var)
"""
}
HANDLER_LAYER = {
    f"python/lib/{RUNTIME}/site-packages/dldt_tools/__init__.py": "",
    f"python/lib/{RUNTIME}/site-packages/dldt_tools/processing_layer.py": """
import json, os, tempfile, time
from urllib.parse import unquote_plus
import boto3
import cv2

s3 = boto3.client("s3")
bucket = os.environ["BUCKET_NAME"]
models_path = os.environ["MODELS_PATH"]

class HandlerApp:
    def __init__(self, engine_and_format):
        self.engine_and_format = engine_and_format

    def init(self, backend, folder, make_profiling):
        begun = time.time()
        path = os.path.join(tempfile.gettempdir(), "model.bin")
        s3.download_file(bucket, models_path + folder + "model.bin", path)
        with open(path, "rb") as model:
            self.net = cv2.Net(model.read())
        self.load_model_ms = (time.time() - begun) * 1000

    def init_handler_variables(self, event):
        key = unquote_plus(event["Records"][0]["s3"]["object"]["key"])
        path = os.path.join(tempfile.gettempdir(), "input.json")
        s3.download_file(bucket, key, path)
        with open(path) as text:
            return {"key": key, "InputData": json.load(text), "OutputData": {"inf_perf": [], "result": []}}

    def make_aws_inference(self, h_var):
        out = h_var["OutputData"]
        out["ImageFilenames"] = h_var["InputData"]["ImageFilenames"]
        for name in out["ImageFilenames"]:
            image = s3.get_object(Bucket=bucket, Key=name)["Body"].read()
            begun = time.time()
            out["result"].append(self.net.forward(image))
            forward = (time.time() - begun) * 1000
            out["inf_perf"].append({"load_model": self.load_model_ms, "forward": forward})

    def deliver_output_data(self, h_var):
        name = h_var["key"].rsplit("/", 1)[1]
        body = json.dumps(h_var["OutputData"])
        s3.put_object(Bucket=bucket, Key=h_var["InputData"]["OutputPath"] + "/" + name, Body=body)
        completed = h_var["InputData"]["CompletedPath"] + "/" + name
        s3.copy_object(Bucket=bucket, Key=completed, CopySource={"Bucket": bucket, "Key": h_var["key"]})
        s3.delete_object(Bucket=bucket, Key=h_var["key"])
""",
}
ENGINE_LAYER = {
    "python/cv2/__init__.py": """
class Net:
    def __init__(self, model):
        self.model = model

    def forward(self, image):
        return sum(image) * len(self.model)
"""
}
"""Stands for an engine: what it computes tells whether it was given the right model and image."""
MODEL = bytes(7)
IMAGES = {"imagenet/a b.JPEG": b"\x01\x02", "imagenet/val/ILSVRC2012_val_00003351.JPEG": b"\x05"}
INPUTS = {
    "input/mobilenet_ie/1.json": ["imagenet/a b.JPEG"],
    "input/mobilenet_ie/2 +ü.json": list(IMAGES),
}


def zipped(files: Mapping[str, str]) -> bytes:
    """A zip of texts."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.fixture
def functions(s3_url: str) -> Iterator[Any]:
    """A boto3 client of Lambda; what the test has made is removed."""
    made = client("lambda", s3_url)
    yield made
    made.delete_function(FunctionName="lambda_test_SUT")
    made.close()


def deploy(functions: Any, s3: Any, bucket: str) -> None:
    """The steps of the seed's README, by boto3."""
    layers = [
        functions.publish_layer_version(LayerName=name, Content={"ZipFile": zipped(files)})["LayerVersionArn"]
        for name, files in (("cv2-layer", ENGINE_LAYER), ("handler_utils", HANDLER_LAYER))
    ]
    variables = {"BUCKET_NAME": bucket, "MODELS_PATH": "models/"}
    made = functions.create_function(
        FunctionName="lambda_test_SUT", Runtime=RUNTIME, Role="arn:aws:iam::000000000000:role/lambda-s3",
        Handler="lambda_function.lambda_handler", Code={"ZipFile": zipped(FUNCTION)}, Layers=layers,
        Environment={"Variables": variables}, MemorySize=1536, Timeout=60,
    )  # fmt: skip
    functions.get_waiter("function_active_v2").wait(FunctionName="lambda_test_SUT", WaiterConfig={"Delay": 1})
    functions.add_permission(
        FunctionName="lambda_test_SUT", StatementId="s3", Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com", SourceArn=f"arn:aws:s3:::{bucket}",
    )  # fmt: skip
    rules = [{"Name": "prefix", "Value": "input/"}]
    trigger = {"LambdaFunctionArn": made["FunctionArn"], "Events": ["s3:ObjectCreated:Put"]}
    notifications = {"LambdaFunctionConfigurations": [{**trigger, "Filter": {"Key": {"FilterRules": rules}}}]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=notifications)


def test_package_in_the_seeds_form_runs_unchanged(functions: Any, s3: Any, bucket: str) -> None:
    """Every input file becomes an output file with the seed's fields and is moved to `completed/`."""
    s3.put_object(Bucket=bucket, Key="models/mobilenetv1/FP32/model.bin", Body=MODEL)
    for key, body in IMAGES.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    deploy(functions, s3, bucket)
    for key, names in INPUTS.items():
        given = {
            "CompletedPath": "completed/mobilenet_ie",
            "ImageFilenames": names,
            "OutputPath": "output/mobilenet_ie",
        }
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(given))
    for key, names in INPUTS.items():
        # The handler writes to completed/ before it deletes: both have happened when the input is gone.
        s3.get_waiter("object_not_exists").wait(Bucket=bucket, Key=key, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})
        with s3.get_object(Bucket=bucket, Key=key.replace("input", "output"))["Body"] as body:
            output = json.load(body)
        assert output["ImageFilenames"] == names
        assert output["result"] == [sum(IMAGES[name]) * len(MODEL) for name in names]
        assert len(output["inf_perf"]) == len(names)
        assert output["start_time"] < output["finish_time"]
        assert s3.head_object(Bucket=bucket, Key=key.replace("input", "completed"))["ContentLength"]
