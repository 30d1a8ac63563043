"""`python -m serverless_mlperf` is the command `serverless-mlperf`."""

from serverless_mlperf.cli import main

main()
