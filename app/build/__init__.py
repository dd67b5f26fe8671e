"""The build page."""
