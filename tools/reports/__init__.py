"""What `tools/report.py` is made of: the sections of a page, its pictures, its style."""
