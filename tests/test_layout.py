"""The shape of the source tree: what must hold for imports to work and for modules to stay readable."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LONGEST_MODULE = 500


def test_operator_is_a_source_root_that_never_shadows_the_standard_library() -> None:
    root = REPOSITORY / "operator"
    assert not (root / "__init__.py").exists()
    assert [path.name for path in root.iterdir() if not path.name.endswith(".egg-info")] == ["memdiag"]


def test_no_module_is_longer_than_people_read() -> None:
    sources = [
        path
        for folder in ("operator", "testbed", "tests", "charts", "fuzz", "release")
        for path in (REPOSITORY / folder).rglob("*.py")
    ]
    long = {str(path): lines for path in sources if (lines := len(path.read_text().splitlines())) > LONGEST_MODULE}
    assert sources
    assert not long


def test_every_module_says_its_idea_first() -> None:
    for path in (REPOSITORY / "operator").rglob("*.py"):
        assert path.read_text().startswith('"""'), path
