"""From the name of a corpus to masked batches."""
