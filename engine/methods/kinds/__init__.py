"""What several methods have in common: what they learn from, how their students begin, change and are restored."""
