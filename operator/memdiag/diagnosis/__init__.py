"""Pure verdicts: traces to evidence to cause to recommendation. No clock, no I/O."""

from memdiag.diagnosis.engine import diagnose

__all__ = ["diagnose"]
