"""Labelled tasks: their data, fine-tuning on them, and scores."""
