"""Scores of a trained network on a split, and the report of them."""
