"""Heirloom's engine: BERT compression as a plain Python package. Knows nothing of the app."""

__version__ = "0.1.0"
