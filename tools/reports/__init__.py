"""Parts of `tools/report.py`: the sections of a page, its pictures, its style."""
