"""Structured pruning: which channels belong together, which may go, and what makes up for them."""
