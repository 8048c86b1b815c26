"""Where handlers run. The seam is `Backend` in backend.py; each implementation is one file."""
