"""Which cluster is meant, and what is said when it does not do what it is asked."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from memdiag.cli.main import main
from memdiag.cli.target import explained, name
from memdiag.kube.api import ApiError, PermanentError, TransientError, connect, error_from
from memdiag.kube.kubeconfig import chosen_kubeconfig, current_context, namespace_of

ONLINE = ["list", "show x", "apply x", "report x -o -", "mute x --off", "trace x -o -"]


def kubeconfig(folder: Path, server: str = "https://127.0.0.1:1") -> Path:
    """Write a kubeconfig with two contexts, of which the second has a namespace."""
    path = folder / "kubeconfig"
    found = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [
            {"name": "a", "context": {"cluster": "c", "user": "u"}},
            {"name": "b", "context": {"cluster": "c", "user": "u", "namespace": "shop"}},
        ],
    }
    path.write_text(yaml.safe_dump(found))
    return path


def test_the_namespace_is_that_of_the_context(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path)
    assert [namespace_of(path, context) for context in (None, "a", "b")] == ["default", "default", "shop"]


def test_of_several_kubeconfigs_the_first_current_context_counts_as_for_kubectl(tmp_path: Path) -> None:
    named = kubeconfig(tmp_path, "https://first.example:1")
    found = yaml.safe_load(named.read_text())
    paths = []
    for number, current in enumerate(("", "b", "a")):
        paths.append(str(tmp_path / str(number)))
        Path(paths[-1]).write_text(yaml.safe_dump({**found, "current-context": current}))
    several = Path(":".join(paths))
    assert current_context(several) == "b"
    assert namespace_of(several, None) == "shop"
    # without a current one at all, the namespace is still that of the context that was asked for
    assert current_context(Path(paths[0])) is None
    assert namespace_of(Path(paths[0]), "b") == "shop"


def test_a_user_that_acts_as_another_is_refused_and_no_other_context(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path)
    found = yaml.safe_load(path.read_text())
    found["users"].append({"name": "root", "user": {"token": "t", "as": "admin", "as-groups": ["system:masters"]}})
    found["contexts"].append({"name": "sudo", "context": {"cluster": "c", "user": "root"}})
    path.write_text(yaml.safe_dump(found))
    with pytest.raises(PermanentError, match="acts as another one") as refused:
        connect(path, "sudo")
    assert str(path) in str(refused.value)
    assert connect(path, "a").configuration.host == "https://127.0.0.1:1"


def test_of_several_kubeconfigs_the_first_cluster_is_asked(tmp_path: Path) -> None:
    paths = []
    for which in ("first", "second"):
        (tmp_path / which).mkdir()
        text = kubeconfig(tmp_path / which, f"https://{which}.example").read_text()
        paths.append(tmp_path / which / "own")
        paths[-1].write_text(re.sub(r"(name|cluster|user|current-context): [abcu]\b", rf"\1: {which}", text))
    assert connect(Path(":".join(map(str, paths)))).configuration.host == "https://first.example"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "is no kubeconfig, or a broken one"),
        ("5", "is no kubeconfig"),
        ("a: [", "while parsing"),
        ("", "is empty"),
    ],
)
def test_what_is_no_kubeconfig_is_said_without_a_trace(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    assert main(["list", "--kubeconfig", str(path)]) == 2
    assert told in capsys.readouterr().err


def test_a_kubeconfig_is_found_as_kubectl_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"/nowhere:{kubeconfig(tmp_path)}")
    assert namespace_of(chosen_kubeconfig(None), "b") == "shop"
    assert chosen_kubeconfig(Path("mine")) == Path("mine")
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert chosen_kubeconfig(None) == tmp_path / ".kube/config"


@pytest.mark.parametrize("words", ONLINE)
def test_a_cluster_that_is_away_is_said_without_a_trace(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words.split(), "--kubeconfig", str(kubeconfig(tmp_path))]) == 2
    told = "the cluster does not answer: [Errno 111] Connection refused (another --context or --kubeconfig?)"
    assert capsys.readouterr().err == f"memdiag {words.split(maxsplit=1)[0]}: {told}\n"


@pytest.mark.parametrize(("text", "context"), [(None, "a"), ("{]", "a"), ("a: 1", "a"), ("", "nobody")])
def test_no_way_to_a_cluster_is_said_without_a_trace(
    text: str | None, context: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kubeconfig(tmp_path)
    if text is None:
        path.unlink()
    elif text:
        path.write_text(text)
    assert main(["list", "--kubeconfig", str(path), "--context", context]) == 2
    told = capsys.readouterr().err
    assert told.startswith("memdiag list: no way to the API server from ")
    assert "Traceback" not in told


def answer(status: int, message: str, path: str = "/apis/memdiag.dev/v1alpha1/memorydiagnoses") -> ApiError:
    return error_from(status, json.dumps({"message": message}).encode(), {}, f"GET {path}")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (answer(404, "the server could not find the requested resource"), "does not serve memdiag's kinds: install"),
        (answer(403, "User x cannot list resource"), "you are not allowed to do this: GET .*User x cannot list"),
        (answer(401, "Unauthorized"), "does not know who you are: log in again"),
        (answer(404, 'pods "a" not found', "/api/v1/namespaces/a/pods/a"), 'pods "a" not found'),
        (answer(500, "boom\x1b[2J"), r"boom\\x1b"),
        (TransientError("GET /x: broken answer"), "does not answer: GET /x: broken answer"),
    ],
)
def test_answers_are_explained(error: ApiError, told: str) -> None:
    assert re.search(told, explained(error))


def test_names_that_no_object_can_have_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert name("deployment-a.b-c") == "deployment-a.b-c"
    for text in ("a/b", "", "A", "-a", "a?x=1", "../x"):
        with pytest.raises(argparse.ArgumentTypeError):
            name(text)
    with pytest.raises(SystemExit) as ended:
        main(["show", "a/b"])
    assert ended.value.code == 2
    assert "is no name of an object" in capsys.readouterr().err


def test_a_namespace_and_all_of_them_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["list", "-n", "a", "-A"])
    assert "not allowed with" in capsys.readouterr().err


def test_as_a_plugin_it_is_called_by_two_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-memdiag", "list", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "usage: kubectl memdiag list" in capsys.readouterr().out
