"""memdiag: why was this container OOM-killed, and what memory limit should it have?"""

__version__ = "0.1.0"
