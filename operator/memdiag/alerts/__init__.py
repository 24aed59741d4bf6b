"""Slack: a channel-neutral message, its Block Kit, and its delivery. Knows the model and slack_sdk, no cluster."""
