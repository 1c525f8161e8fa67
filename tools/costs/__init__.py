"""What `tools/cost.py` is made of: the worker that measures a cell, estimates, plots."""
