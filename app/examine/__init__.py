"""The examine page, a file a tab."""
