"""Wardian: a Jupyter kernel whose every cell runs inside a persistent Linux container."""

__version__ = "0.1.0"
