"""memdiag says why a container was OOM-killed, and what memory limit it should have."""

__version__ = "0.1.0"
