"""Rows times seeds, and what came out of them."""
