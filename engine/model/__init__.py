"""BERT and ALBERT: built, cut, converted and saved."""
