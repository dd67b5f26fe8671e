"""Losses and optimizers, and how good a model is."""
