"""moto's own server on a free port of 127.0.0.1, to compare the local platform with; ends with its standard input.

Run: python tools/moto_server.py
"""

import json
import logging
import os
import sys

# The local platform's account, so that ARNs compare; moto reads it when it is imported.
os.environ["MOTO_ACCOUNT_ID"] = "000000000000"

from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler


def main() -> None:
    """Serve until the pipe closes; the first line of stdout is `{"port": ...}`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request is no part of the comparison
    WSGIRequestHandler.protocol_version = "HTTP/1.1"  # it closes after each answer all the same
    default_user_config["lambda"]["use_docker"] = False  # a function's answer is a fixed text
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
