"""The table of documented commands: which test runs each, or why none does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.docs.pages import Command

PROGRAMS = ("docker", "dmesg", "grep", "helm", "journalctl", "kubectl", "make", "memdiag", "python", "systemd-run")

PLACES = {
    "NAMESPACE": "memdiag",
    "YOURS": "yours",
    "NAME": "deployment-checkout-checkout",
    "NODE": "node-of-the-pages",
    "REGISTRY": "registry.example",
}
"""What a reader puts in place of words in capitals."""


def filled(text: str) -> str:
    """Return a command with the words in capitals replaced."""
    return re.sub(rf"\b({'|'.join(PLACES)})\b", lambda match: PLACES[match.group()], text)


@dataclass(frozen=True)
class By:
    """Run by a test: `file::test`, the last name as it is defined; or by what CI calls, a file."""

    where: str


@dataclass(frozen=True)
class Not:
    """Run by none, and why."""

    why: str


HERE = By("tests/docs/test_commands.py::test_commands_that_need_no_cluster_are_run")
API = By("tests/docs/test_on_api_server.py::test_every_command_does_what_the_page_says")
CI = By(".ci/run")
LONG = "takes minutes to hours; tests/bench runs its parts on little data"

PROOFS: tuple[tuple[str, By | Not], ...] = (
    ("memdiag diagnose .*", HERE),
    ("memdiag explain .*", HERE),
    ("memdiag record .*", By("tests/cli/test_record.py::test_it_records_a_real_kill")),
    ("memdiag run .*", By("tests/cli/test_run.py::test_a_leak_is_killed_twice_and_diagnosed")),
    ("memdiag (check|list|show|apply|report|mute|trace) .*", API),
    ("dmesg", Not("reads the log of the machine that it runs on; what stands behind it is run on a recorded log")),
    ("journalctl -k", Not("as dmesg")),
    ("grep .*", API),
    ("make (setup|test|lint|unit|quick|api|node)( unit)?", CI),
    ("NODE_(DRIVER|RUNTIME)=[a-z]+ make node", Not("ring node with another node: minutes for each, by hand")),
    ("make (image|sbom|release)", By("tests/release/test_release.py::test_a_release_is_whole")),
    (
        "make demo(-down)? KIND=1",
        By("tests/testbed/test_kind.py::test_the_demo_on_kind_builds_loads_installs_and_shows"),
    ),
    ("make demo", Not("would be a second cluster beside that of tests/node, which is brought up by the same steps")),
    ("make demo-down", Not("as make demo")),
    ("kubectl memdiag .*", By("tests/cli/test_on_api_server.py::test_list_is_a_command_of_kubectl")),
    ("kubectl top .*", Not("needs metrics-server, which the testbed has not")),
    (
        "kubectl -n memdiag exec deployment/memdiag-operator -- memdiag alert test",
        By("tests/node/test_slack.py::test_the_mounted_credential_brings_a_test_message_and_its_picture"),
    ),
    ("kubectl .* exec .*", Not("needs a running pod; what it runs there has tests of its own in tests/cli")),
    ("kubectl .*", API),
    ("helm test .*", Not("needs a node; its pod runs `memdiag check`, which is run against the API server")),
    ("helm .*", API),
    (
        "docker (build|push) .*",
        Not("needs a container engine; ring node's image is built from the Dockerfile by buildah"),
    ),
    ("python -m bench\\.verdict.*", Not(LONG)),
    ("python -m bench\\.limits.*", Not(LONG)),
    ("python -m bench\\.agent.*", Not(LONG)),
    ("python -m bench\\.storm", By("tests/bench/test_storm_bench.py::test_no_kill_is_lost_and_none_is_told_twice")),
    ("python -m bench\\.operator.*", Not(LONG)),
    ("python -m testbed\\.workloads\\.record .*", By("tests/testbed/test_recording.py")),
    ("python -m testbed record-kernel-logs .*", Not("boots a kernel for minutes; its recordings are what is tested")),
    ("python -m testbed (up|down|build)", Not("as make demo")),
    ("python -m testbed (node|kubectl) .*", Not("needs what `up` starts; tests/node calls the same functions")),
)


def proof_of(command: Command) -> tuple[str, By | Not] | None:
    """Return the row of one simple command, None when there is none."""
    return next((row for row in PROOFS if re.fullmatch(row[0], command.text)), None)
