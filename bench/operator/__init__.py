"""What the operator needs in memory and time, against a real API server."""
