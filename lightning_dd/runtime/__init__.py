"""Processes, memory, precision and environment of a run."""
