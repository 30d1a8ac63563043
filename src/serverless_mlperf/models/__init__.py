"""Weights become the files that each inference engine reads."""
