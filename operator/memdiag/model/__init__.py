"""The words of memdiag as small frozen types: standard library only, no clock and no I/O."""
