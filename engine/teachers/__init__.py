"""Models that can teach, by name: a card first, then the model."""
