"""`memdiag apply`: the recommended limit as a patch of the workload: printed, or carried out with --yes."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import dataclass
from typing import Any

import yaml

from memdiag.cli.inplace import carried_out, resizes, shown
from memdiag.cli.online import diagnosis
from memdiag.cli.owner import Owner, owner_of, patchable
from memdiag.cli.target import Refused, Target, name, online
from memdiag.cli.target import configure as configure_target
from memdiag.controller.alertfacts import View
from memdiag.controller.diagnoses import merge_patch
from memdiag.model.quantity import parse_bytes
from memdiag.model.verdict import Action
from memdiag.report.words import printable, short_duration


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", type=name, help="the diagnosis, as `memdiag list` names it")
    parser.add_argument("--yes", action="store_true", help="patch the workload; without it the patch is only printed")
    parser.add_argument(
        "--in-place",
        action="store_true",
        help="give the pods that run the limit too, through their resize subresource (Kubernetes 1.33 or newer)",
    )
    parser.add_argument(
        "--stop-gap", action="store_true", help="for a leak: the temporary limit, which only delays the next kill"
    )
    configure_target(parser)


@dataclass(frozen=True, slots=True)
class Change:
    """A limit and request that are to be set, bytes; the request stays as it is where it is None."""

    limit: int
    request: int | None
    raises: bool
    why: str


def change_of(found: View, *, stop_gap: bool) -> Change:
    """Return what the verdict advises. Raises Refused where it advises no limit, or one that only hides a leak."""
    advice, where = found.status.recommendation, f"kubectl memdiag show {found.name} -n {found.namespace}"
    if advice is None:
        raise Refused(f"{found.name} has no verdict yet, so there is nothing to apply")
    if advice.action is Action.FIX_LEAK:
        gap = advice.stop_gap
        lasts = None if gap is None else f"{gap.limit} lasts about {short_duration(gap.uptime_seconds)} from each start"
        if gap is None or not stop_gap:
            buy = "" if gap is None else f" To buy time: --stop-gap ({lasts})."
            raise Refused(f"{found.name} is a leak: more memory only delays the next kill. Fix it: {where}.{buy}")
        return Change(parse_bytes(gap.limit), None, raises=True, why=f"a stop-gap, no mend: {lasts}")
    if stop_gap:
        raise Refused(f"--stop-gap is for a leak, and {found.name} is none")
    if advice.action not in {Action.RAISE_LIMIT, Action.LOWER_LIMIT} or advice.limit is None:
        raise Refused(f"{found.name} recommends no other limit: {printable(advice.basis)} See {where}.")
    request = None if advice.request is None else parse_bytes(advice.request)
    return Change(parse_bytes(advice.limit), request, advice.action is Action.RAISE_LIMIT, advice.basis)


def patch_of(found: View, owner: Owner, change: Change) -> dict[str, Any] | None:
    """Return the patch of the owner, None when it already has what is advised.

    Raises Refused when its limit was changed beyond that since the verdict.
    """
    if owner.limit == change.limit and change.request in (None, owner.request):
        return None
    beyond = owner.limit is not None and (
        owner.limit > change.limit if change.raises else owner.limit < change.limit  # somebody was faster
    )
    if beyond:
        raise Refused(
            f"{_owner(found)} has a limit of {shown(owner.limit)} by now, "
            f"{'above' if change.raises else 'below'} the recommended {shown(change.limit)}: left as it is"
        )
    return merge_patch(found.spec, owner.role, change.limit, change.request)


def _owner(found: View) -> str:
    return f"{found.spec.target_ref.kind.lower()}/{found.spec.target_ref.name}"


def _in_words(found: View, before: int | None, change: Change) -> str:
    request = "" if change.request is None else f", request {shown(change.request)}"
    container = found.spec.container
    return f"{_owner(found)}, container {container}: memory limit {shown(before)} → {shown(change.limit)}{request}"


def _owner_part(arguments: argparse.Namespace, target: Target, found: View, change: Change) -> bool:
    """Patch the owner, or print how; say whether there was something to do."""
    if not patchable(found):
        limit = f"the memory limit of container {found.spec.container} to {shown(change.limit)}"
        said = f"{_owner(found)} has no pod template that could be patched: set {limit} in its manifest"
        if not arguments.in_place:
            raise Refused(f"{said} (--in-place resizes the pods that run)")
        print(said, file=sys.stderr)
        return False
    owner = owner_of(target.api, found)
    patch = patch_of(found, owner, change)
    if patch is None:
        print(f"{_owner(found)} has a limit of {shown(change.limit)} already")
        return False
    if arguments.yes:
        target.api.strategic_patch(owner.path, patch)
        print(f"{_in_words(found, owner.limit, change)}: patched")
        return True
    print(f"# {_in_words(found, owner.limit, change)}\n# {printable(change.why)}")
    print(yaml.safe_dump(patch, sort_keys=False), end="")
    command = ["kubectl", "-n", found.namespace, "patch", _owner(found), "--type", "strategic", "-p"]
    print(f"\nBy hand: {shlex.join([*command, json.dumps(patch, separators=(',', ':'))])}", file=sys.stderr)
    return True


def _pods_part(arguments: argparse.Namespace, target: Target, found: View, change: Change) -> tuple[bool, bool]:
    """Resize the running pods, or name them; say whether there was something to do, and whether all went well."""
    planned = resizes(target.api, found, change.limit, change.request)
    if not planned:
        print("no pod runs with another limit")
    elif not arguments.yes:
        print(f"\nPods to resize in place: {', '.join(resize.pod for resize in planned)}", file=sys.stderr)
    else:
        outcomes = [*carried_out(target.api, planned, change.limit)]
        for good, line in outcomes:
            print(line, file=sys.stdout if good else sys.stderr)
        return True, all(good for good, _ in outcomes)
    return bool(planned), True


def applied(arguments: argparse.Namespace, target: Target) -> int:
    """Print the patch, or carry it out; return 1 when a pod could not be resized."""
    found = diagnosis(target, arguments.name)
    change = change_of(found, stop_gap=arguments.stop_gap)
    for warning in () if found.status.recommendation is None else found.status.recommendation.warnings:
        print(f"Warning: {printable(warning)}", file=sys.stderr)
    due, good = _owner_part(arguments, target, found, change), True
    if arguments.in_place:
        pods, good = _pods_part(arguments, target, found, change)
        due = due or pods
    if due and not arguments.yes:
        print("Nothing was changed; --yes does it.", file=sys.stderr)
    return 0 if good else 1


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    return online(arguments, applied)
