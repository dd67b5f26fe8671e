"""The size page."""
