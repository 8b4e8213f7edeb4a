"""Affine layers, what they read and write over data, and a model run one stretch at a time."""
