"""How much memory training and running take at their fullest moment, played through without torch."""
