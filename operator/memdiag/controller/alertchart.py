"""The chart that goes into a diagnosis's thread: from the incidents that are kept to a PNG. One is drawn at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from memdiag.controller.alertfacts import View
from memdiag.controller.alertsender import Picture
from memdiag.controller.diagnoser import incidents_of, subject_of
from memdiag.controller.traces import traces
from memdiag.kube.api import Api
from memdiag.kube.memory_diagnosis import Recommendation as Advised
from memdiag.model.quantity import parse_bytes
from memdiag.model.verdict import Recommendation, StopGap
from memdiag.report.curve import curve_of
from memdiag.report.drawing import draw
from memdiag.report.png import png


def chart_of(api: Api) -> Picture:
    """Return what draws a diagnosis's chart, the last killed pod's, and None where no memory was seen.

    It may be called from any thread, and blocks. Raises ApiError; ValueError when an incident holds what is no history.
    """
    # one thread: images take megabytes, and each thread that ever drew one would keep some of them
    drawer = ThreadPoolExecutor(1, thread_name_prefix="chart")

    def picture(found: View) -> bytes | None:
        subject = subject_of(found.item)
        seen = traces(found.namespace, incidents_of(api, subject))
        if not seen:
            return None
        curve = curve_of(seen[0], _advice(found.status.recommendation))
        if not any(run.points for run in curve.runs):
            return None
        title = f"{found.namespace}/{subject.workload.name} ({subject.container}), pod {seen[0].pod}"
        return drawer.submit(lambda: png(draw(curve, title=title))).result()

    return picture


def _advice(found: Advised | None) -> Recommendation | None:
    if found is None:
        return None
    gap = found.stop_gap
    return Recommendation(
        found.action,
        None if found.limit is None else parse_bytes(found.limit),
        None if found.request is None else parse_bytes(found.request),
        None if found.range is None else (parse_bytes(found.range.low), parse_bytes(found.range.high)),
        found.basis,
        None if gap is None else StopGap(parse_bytes(gap.limit), float(gap.uptime_seconds)),
    )
