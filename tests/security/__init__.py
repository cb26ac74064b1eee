"""Attacks, carried out."""
