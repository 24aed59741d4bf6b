"""Every command of the documentation exists as it is written, and is run by a test or says why not."""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from memdiag.cli import main as cli
from tests.docs.pages import REPOSITORY, Command, Line, commands, lines, pages, spoken
from tests.docs.proofs import HERE, PROGRAMS, PROOFS, By, filled, proof_of

TRACE = REPOSITORY / "tests/diagnosis/fixtures/leak-1.jsonl.gz"
LOG = REPOSITORY / "tests/kernel/fixtures/linux-6.12-recorded-kills.txt"
VALUES: dict[str, Any] = yaml.safe_load((REPOSITORY / "charts/memdiag/values.yaml").read_text())
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
JOINTS = {"&&", "|", ";"}
VALUE = re.compile(rf"(?<![\w./-])(?:{'|'.join(VALUES)})(?:\.\w+)+")
WITH_PARSER = {
    "testbed": "testbed.__main__",
    "testbed.workloads.record": "testbed.workloads.record",
    "bench.verdict": "bench.verdict.__main__",
    "bench.limits": "bench.limits.__main__",
    "bench.agent": "bench.agent.__main__",
    "bench.operator": "bench.operator.__main__",
}


def simple(command: Command) -> list[Command]:
    """Split at pipes and `&&`; the virtual environment's programs are called by their names."""
    words = shlex.split(command.text, posix=False)
    parts: list[list[str]] = [[]]
    for word in words:
        if word in JOINTS:
            parts.append([])
        else:
            parts[-1].append(word.removeprefix(".venv/bin/"))
    return [Command(command.page, command.line, " ".join(part)) for part in parts]


@functools.cache
def told() -> tuple[Command, ...]:
    """Return the simple commands of all code blocks."""
    return tuple(part for page in pages() for command in commands(page) for part in simple(command))


@functools.cache
def mentioned() -> tuple[Command, ...]:
    """Return the commands that stand in prose; some are whole, some only name a subcommand."""
    found = [each for page in pages() for each in spoken(page)]
    parts = [part for each in found if each.text.count("'") % 2 == 0 for part in simple(each) if part.text]
    return tuple(part for part in parts if part.text.split()[0] in PROGRAMS)


def parser_of(subcommand: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"memdiag {subcommand}")
    importlib.import_module(cli._COMMANDS[subcommand][0]).configure(parser)
    return parser


def flags(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}


def ran(test: str) -> bool:
    """Say whether a test of that name is there."""
    file, _, function = test.partition("::")
    path = REPOSITORY / file
    return path.exists() and (not function or f"def {function}(" in path.read_text())


def test_every_command_is_run_by_a_test_or_says_why_not() -> None:
    unproven = [str(command) for command in told() if proof_of(command) is None]
    assert unproven == [], "tests/docs/proofs.py says of each command which test runs it, or why none does"


def test_the_table_has_nothing_that_no_page_tells() -> None:
    used = {row[0] for command in (*told(), *mentioned()) if (row := proof_of(command))}
    assert [pattern for pattern, _ in PROOFS if pattern not in used] == []


def test_the_tests_of_the_table_are_there() -> None:
    for pattern, proof in PROOFS:
        assert ran(proof.where) if isinstance(proof, By) else proof.why, pattern
    assert "make test" in (REPOSITORY / ".ci/run").read_text()


@pytest.mark.parametrize("command", [c for c in told() if c.text.startswith(("memdiag ", "kubectl memdiag "))], ids=str)
def test_memdiag_takes_what_is_written(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    _, subcommand, *words = shlex.split(filled(command.text.removeprefix("kubectl ")))
    try:
        parser_of(subcommand).parse_args(words)
    except SystemExit:
        pytest.fail(f"{command}\n{capsys.readouterr().err}")


def test_memdiag_in_prose_names_what_there_is() -> None:
    for command in mentioned():
        program, *words = command.text.split()
        if program == "memdiag" and words:
            assert words[0] in cli._COMMANDS, str(command)
            given = {word for word in words[1:] if re.fullmatch(r"--?[a-z][a-z-]*", word)}
            if "--" not in words:
                assert given <= flags(parser_of(words[0])), str(command)


def test_make_knows_the_targets() -> None:
    for command in (*told(), *mentioned()):
        program, *words = command.text.split()
        if program == "make":
            assert {word for word in words if "=" not in word} <= TARGETS, str(command)


def test_modules_take_what_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (*told(), *mentioned()):
        match = re.fullmatch(r"python -m ([\w.]+)(.*)", command.text)
        if match is None:
            continue
        module, words = match.group(1), shlex.split(match.group(2))
        where = WITH_PARSER.get(module)
        if where is None:
            assert importlib.util.find_spec(module), str(command)
            assert not words, str(command)
        elif words != ["--help"]:
            parser: argparse.ArgumentParser = importlib.import_module(where)._parser()
            if words[:1] in (["node"], ["kubectl"]):
                words = words[:1]  # the rest is for another program
            try:
                parser.parse_args(words)
            except SystemExit:
                pytest.fail(f"{command}\n{capsys.readouterr().err}")


def reach(path: str, values: Mapping[str, Any] = VALUES) -> bool:
    """Say whether the chart has this value; below a default that is empty anything may stand."""
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, dict) or (found and name not in found):
            return False
        found = found[name] if found else {}
    return True


def test_values_that_are_named_exist() -> None:
    for page in pages():
        for word in spoken(page):
            for path in VALUE.findall(word.text):
                assert reach(path), f"{word}: {path}"
    for command in told():
        for setting in re.findall(r"--set ([\w.]+)=", command.text):
            assert reach(setting), str(command)


def blocks(page: Path, language: str) -> Iterator[str]:
    held: list[Line] = []
    for line in (*lines(page), Line(0, "", None)):
        if line.code == language:
            held.append(line)
        elif held:
            yield "\n".join(each.text for each in held)
            held = []


def keys(found: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in found.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from keys(value, f"{above}{name}.")


def test_values_in_blocks_exist() -> None:
    for page in pages():
        for text in blocks(page, "yaml"):
            found = yaml.safe_load(text)
            if isinstance(found, dict) and "apiVersion" not in found:
                assert [path for path in keys(found) if not reach(path)] == [], f"{page}: {text}"


def there(name: str) -> bool:
    """Say whether a dotted name of ours is a module, or something in one."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, last = name.rpartition(".")
        return hasattr(importlib.import_module(module), last)
    return True


def test_modules_that_are_named_are_there() -> None:
    words = [each for page in pages() for each in spoken(page)]
    named = [word for word in words if re.fullmatch(r"(memdiag|testbed|bench)(\.\w+)+", word.text)]
    assert len(named) > 5
    assert [str(word) for word in named if not word.text.startswith("memdiag.dev") and not there(word.text)] == []


def replaced(words: list[str]) -> list[str]:
    """Put files that are there in place of those that a reader would have recorded."""
    names = {"app.jsonl": TRACE, "trace.jsonl": TRACE}
    found: list[str] = []
    for word in words:
        globbed = sorted(REPOSITORY.glob(word)) if "*" in word else []
        found += [str(names.get(word, word))] if not globbed else [str(path) for path in globbed]
    return found


def test_commands_that_need_no_cluster_are_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = [command for command in mentioned() if re.search(r"diagnose [^ ]*\.jsonl", command.text)]
    assert whole
    wanted = {c.text for c in (*told(), *whole) if (row := proof_of(c)) and row[1] is HERE}
    for text in sorted(wanted):
        with LOG.open() as log:
            monkeypatch.setattr(sys, "stdin", log)
            assert cli.main(replaced(shlex.split(text)[1:])) == 0, text
        said = capsys.readouterr()
        assert ("Limit hit:" if " explain " in text else "Leak") in said.out, text
        assert said.err == "", text


def test_splitting_keeps_what_is_quoted() -> None:
    page = REPOSITORY / "README.md"
    found = simple(Command(page, 1, ".venv/bin/memdiag check | grep -E ' (a|b) ' && make test"))
    assert [each.text for each in found] == ["memdiag check", "grep -E ' (a|b) '", "make test"]
