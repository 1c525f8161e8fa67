"""Worked examples of what distilled sets are used for."""
