"""The bench of recommended limits: policies replayed on demand that is known without any limit."""
