"""The tab that draws attention as lines, with bertviz."""
