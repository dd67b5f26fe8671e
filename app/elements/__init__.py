"""HTML, figures, colours and words that every page uses."""
