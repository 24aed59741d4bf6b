"""Pure verdicts: traces to evidence to cause to recommendation. No clock, no I/O."""
