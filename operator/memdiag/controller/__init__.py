"""The operator: kopf handlers that join reports into incidents and incidents into diagnoses."""
