"""Lambda, S3 and SQS of AWS itself: one stack up, one stack down."""
