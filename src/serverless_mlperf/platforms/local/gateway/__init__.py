"""The local platform's front: S3, SQS and Lambda's control API over one thin HTTP layer."""
