"""Logs as JSON, one object a line, with OpenTelemetry's names for what belongs to Kubernetes."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_KOPF = {"name": "k8s.object.name", "namespace": "k8s.namespace.name", "uid": "k8s.object.uid"}


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, message, and the fields of `extra` that start with `k8s.`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in record.__dict__.items() if key.startswith("k8s.")})
        reference = record.__dict__.get("k8s_ref")
        if isinstance(reference, dict):
            line.update({_KOPF[key]: value for key, value in reference.items() if key in _KOPF and value})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO) -> None:
    """Send every log line to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # else a line for every event of every report
