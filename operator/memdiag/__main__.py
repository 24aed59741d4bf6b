"""Lets `python -m memdiag` be the memdiag command."""

import sys

from memdiag.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
