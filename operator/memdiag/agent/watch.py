"""The node as the agent holds it: pods and containers found, their open files, watches and counters."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from memdiag.agent.detector import Count, Detector, LeafCount, PodCount
from memdiag.agent.ledger import Ledger
from memdiag.agent.log import log
from memdiag.agent.store import HistoryStore, RunHistory
from memdiag.kernel import inotify
from memdiag.kernel.files import parse_flat, parse_number
from memdiag.kernel.reader import CgroupGoneError, CgroupReader
from memdiag.kernel.tree import ContainerPath, PodPath, containers_of, limit_path, walk
from memdiag.model.trace import Level

_FOLDER = inotify.CREATE | inotify.DELETE | inotify.ONLY_DIRECTORY
RECENTLY_GONE_SECONDS = 10.0
_ROOM_TO_KEEP = 16_384
"""Open files from which on every container's may stay open, ten for each; else they are opened for each reading."""


@dataclass(slots=True)
class Watched:
    """One cgroup that is read: its files, the watch on its memory.events, and that file's last bytes."""

    path: str
    reader: CgroupReader
    count: Count
    watch: int | None = None
    raw: bytes = b""
    events: dict[str, int] = field(default_factory=dict)
    local: dict[str, int] = field(default_factory=dict)

    def read_counters(self) -> bool:
        """Read the counters anew if memory.events changed; returns whether it did. Raises CgroupGoneError."""
        raw = self.reader.raw_events()
        if raw == self.raw:
            return False
        self.raw = raw
        self.events, self.local = parse_flat(raw), self.reader.flat("memory.events.local")
        self.count.read(self.events, self.local)
        return True


@dataclass(slots=True)
class Container(Watched):
    """A container's cgroup, its run, and what was read of it last."""

    pod_uid: str = ""
    container_id: str = ""
    run: RunHistory = field(default_factory=lambda: RunHistory("", ""))
    last_full: float = 0.0
    last_full_current: int | None = None
    last: Level | None = None
    """The last full reading from before any kill."""


@dataclass(slots=True)
class Pod(Watched):
    """A pod's cgroup and its containers."""

    pod_uid: str = ""
    folder_watch: int | None = None
    containers: dict[str, Container] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gone:
    """A container whose cgroup went away a moment ago: its last reading may yet be a kill's evidence."""

    path: str
    last: Level | None
    at: float


class Node:
    """Everything under the cgroup root, kept up to date by `rescan` and `on_event`."""

    def __init__(
        self, root: str, watcher: inotify.Inotify, detector: Detector, store: HistoryStore, ledger: Ledger
    ) -> None:
        self._root = root
        self._watcher = watcher
        self._detector = detector
        self._store = store
        self._ledger = ledger
        self._keep = resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= _ROOM_TO_KEEP
        self.pods: dict[str, Pod] = {}
        self.ancestors: dict[str, Watched] = {}
        self.gone: dict[str, Gone] = {}
        self._by_watch: dict[int, str] = {}
        self._parents: dict[int, str] = {}
        self._watched_parents: dict[str, int] = {}
        self.discovered = 0
        """How many containers were ever found: rises when there are new processes to look for."""

    def containers(self) -> Iterator[Container]:
        """Go through the living containers."""
        for pod in self.pods.values():
            yield from pod.containers.values()

    def rescan(self, now: float) -> None:
        """Walk the whole tree: find what the watches missed, let go of what is no more."""
        tree = walk(self._root)
        for path in tree.parents:
            self._watch_parent(path)
        living = set()
        for found in tree.pods:
            living.add(found.pod_uid)
            self._add_pod(found, now)
        for container in tree.containers:
            living.add(container.pod_uid)
            self._add_container(container, now)
        here = {container.container_id for container in tree.containers}
        for uid in [uid for uid in self.pods if uid not in living]:
            self.drop_pod(uid, now)
        for known in [known for known in self.containers() if known.container_id not in here]:
            self.drop_container(known, now)
        self.gone = {key: gone for key, gone in self.gone.items() if now - gone.at < RECENTLY_GONE_SECONDS}
        for uid, counts in list(self._detector.pods.items()):
            for key in [key for key, leaf in counts.leaves.items() if leaf.gone and key not in self.gone]:
                del counts.leaves[key]
            if uid not in self.pods and not counts.leaves:
                del self._detector.pods[uid]

    def clock_set(self, by: float) -> None:
        """Move what is remembered by as many seconds as the clock was set."""
        self.gone = {key: replace(gone, at=gone.at + by) for key, gone in self.gone.items()}
        for container in self.containers():
            container.last_full += by

    def _watch_parent(self, path: str) -> None:
        if path in self._watched_parents:
            return
        watch = self._watcher.add(self._root + path, _FOLDER)
        if watch is not None:
            self._parents[watch] = path
            self._watched_parents[path] = watch
        if path and path not in self.ancestors:
            watched: Watched | None = None
            try:
                reader = CgroupReader(self._root + path)
                watched = Watched(path, reader, self._detector.ancestors.setdefault(path, Count()))
                watched.read_counters()
                watched.count.settle()
                self.ancestors[path] = watched
            except CgroupGoneError:
                if watched is not None:
                    self._let_go(watched)

    def _add_pod(self, found: PodPath, now: float) -> Pod | None:
        known = self.pods.get(found.pod_uid)
        if known is not None:
            return known
        # The folder's watch comes before the containers are listed, so that none falls between.
        folder = self._watcher.add(self._root + found.path, _FOLDER)
        count = PodCount(path=found.path)
        pod: Pod | None = None
        try:
            reader = CgroupReader(self._root + found.path)
            pod = Pod(found.path, reader, count, pod_uid=found.pod_uid, folder_watch=folder)
            pod.watch = self._watcher.add(f"{self._root}{found.path}/memory.events", inotify.MODIFY)
            pod.read_counters()
        except CgroupGoneError:
            if folder is not None:
                self._watcher.remove(folder)
            if pod is not None:
                self._let_go(pod)
            return None
        self._base(found.pod_uid, count)
        self.pods[found.pod_uid] = pod
        self._detector.pods[found.pod_uid] = count
        for watch in (pod.watch, folder):
            if watch is not None:
                self._by_watch[watch] = found.pod_uid
        for container in containers_of(self._root, found):
            self._add_container(container, now)
        return pod

    def _base(self, uid: str, count: PodCount) -> None:
        """Say how far a pod's counter is accounted for: by the ledger, else not at all if it began before our eyes."""
        told = self._ledger.pod_told.get(uid)
        if told is not None:
            count.told = min(told, count.kills)
        elif uid not in self._store.pods and self.first_scan:
            count.told = count.kills
            if count.kills:
                try:
                    self._ledger.baseline(uid, count.kills)
                except OSError as error:
                    log("kills of before the agent not noted", pod=uid, reason=str(error))
        count.settle()

    first_scan = True
    """Whether what is found was there before the agent, so that its counters tell of a time that nobody watched."""

    def _add_container(self, found: ContainerPath, now: float) -> None:
        pod = self.pods.get(found.pod_uid) or self._add_pod(
            PodPath(found.pod_uid, found.path.rpartition("/")[0] or found.path), now
        )
        if pod is None or found.container_id in pod.containers:
            return
        limited = limit_path(self._root, found.path)
        count = LeafCount(path=limited, told=self._ledger.leaf_told(found.container_id))
        container: Container | None = None
        try:
            reader = CgroupReader(self._root + limited, keep=self._keep)
            container = Container(found.path, reader, count, pod_uid=found.pod_uid, container_id=found.container_id)
            container.watch = self._watcher.add(f"{self._root}{limited}/memory.events", inotify.MODIFY)
            container.read_counters()
            count.group = (parse_number(reader.file("memory.oom.group") or b"") or 0) > 0
        except CgroupGoneError:
            if container is not None:
                self._let_go(container)
            return
        count.told = min(count.told, count.kills)
        count.local_before = 0 if count.local_oom is not None else None
        container.run = self._store.run(found.pod_uid, found.container_id, None if self.first_scan else now)
        pod.containers[found.container_id] = container
        if isinstance(pod.count, PodCount):
            pod.count.leaves[found.container_id] = count
        if container.watch is not None:
            self._by_watch[container.watch] = found.pod_uid
        self.discovered += 1

    def drop_container(self, container: Container, now: float) -> None:
        """Let go of a container whose cgroup is gone: its watch, its files; its run ends."""
        pod = self.pods.get(container.pod_uid)
        if pod is not None:
            pod.containers.pop(container.container_id, None)
            if isinstance(pod.count, PodCount) and isinstance(container.count, LeafCount):
                container.count.gone = True
        self._let_go(container)
        self._store.end(container.run, now)
        self.gone[container.container_id] = Gone(container.path, container.last, now)

    def drop_pod(self, uid: str, now: float) -> None:
        """Let go of a pod whose cgroup is gone."""
        pod = self.pods.pop(uid)
        for container in list(pod.containers.values()):
            self.drop_container(container, now)
        if pod.folder_watch is not None:
            self._by_watch.pop(pod.folder_watch, None)
            self._watcher.remove(pod.folder_watch)
        self._let_go(pod)
        self._store.pod_gone(uid, now)

    def _let_go(self, watched: Watched) -> None:
        if watched.watch is not None:
            self._by_watch.pop(watched.watch, None)
            self._watcher.remove(watched.watch)
            watched.watch = None
        watched.reader.close()

    def on_event(self, event: inotify.Event, now: float) -> str | None:
        """Take an event; returns the pod that it concerns. A queue overflow asks for a rescan by raising no pod."""
        if event.mask & inotify.IGNORED:
            self._by_watch.pop(event.watch, None)
            parent = self._parents.pop(event.watch, None)
            if parent is not None:
                self._watched_parents.pop(parent, None)
            return None
        parent = self._parents.get(event.watch)
        if parent is not None:
            if event.mask & inotify.CREATE:
                self._appeared(f"{parent}/{event.name}", now)
            return None
        uid = self._by_watch.get(event.watch)
        pod = None if uid is None else self.pods.get(uid)
        if pod is not None and event.watch == pod.folder_watch and event.mask & inotify.CREATE:
            for found in containers_of(self._root, PodPath(pod.pod_uid, pod.path)):
                self._add_container(found, now)
        return uid

    def _appeared(self, path: str, now: float) -> None:
        tree = walk(self._root, path.rpartition("/")[0])
        for parent in tree.parents:
            self._watch_parent(parent)
        for found in tree.pods:
            self._add_pod(found, now)
        for container in tree.containers:
            self._add_container(container, now)

    def read_counters(self, uid: str, now: float) -> list[Container]:
        """Read the counters of a pod and its containers; returns the containers whose events changed."""
        pod = self.pods.get(uid)
        if pod is None:
            return []
        changed = []
        for container in list(pod.containers.values()):
            try:
                if container.read_counters():
                    changed.append(container)
            except CgroupGoneError:
                self.drop_container(container, now)
        try:
            pod.read_counters()
        except CgroupGoneError:
            self.drop_pod(uid, now)
        return changed

    def read_ancestors(self) -> None:
        """Read the counters of what stands above the pods."""
        for path, watched in list(self.ancestors.items()):
            try:
                watched.read_counters()
            except CgroupGoneError:
                watched.reader.close()
                del self.ancestors[path]
                self._detector.ancestors.pop(path, None)
