"""Workloads whose cause of death is known, and the command that records them on a real kernel."""
