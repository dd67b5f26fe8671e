"""What a model holds inside, one measure a file."""
