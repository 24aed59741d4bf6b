"""The memdiag command."""
