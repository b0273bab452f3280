"""The rules of commerce."""
