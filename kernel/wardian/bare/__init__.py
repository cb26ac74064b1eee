"""Cells as plain processes, on hosts that allow no containers: the walls that remain."""
