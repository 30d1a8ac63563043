"""Data sets: sample lists, labels, digests."""
