"""The embedded local platform: S3, SQS and Lambda on 127.0.0.1, functions as processes under Lambda's CPU share."""
