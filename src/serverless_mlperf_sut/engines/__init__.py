"""Inference engines behind one Protocol; each file imports its engine when it is first used."""
