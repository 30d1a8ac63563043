"""MLPerf inference benchmarking for serverless functions: the client side."""

__version__ = "0.1.0"
