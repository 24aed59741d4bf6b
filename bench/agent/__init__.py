"""The bench of the agent: what it costs beside a minimal loop over the same files."""
