"""A stage imports only the stages above it, and what works on numpy never loads torch."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import labels2masks

PACKAGE = Path(labels2masks.__file__).parent
ORDER = [
    *("errors", "files", "progress", "kernels"),  # what every stage may use
    *(
        "classes",
        "grid",
        "labels",
        "formats",
        "sample",
        "narrowing",
        "pydensecrf",
        "encoders",
        "networks",
        "cues",
        "losses",
    ),
    *("prediction", "evaluation", "run", "training", "report", "recipes", "deployment", "page"),
    *("demonstration", "diagnosis", "listing", "command", "cli", "__main__"),  # the front door
]
REACHES_DOWN = {"run"}  # its methods are short cuts to the verbs below; only its own imports are held to the order
WITHOUT_TORCH = ("classes", "grid", "labels", "formats", "formats.open", "formats.splitting", "formats.convert")
WITHOUT_TORCH += ("formats.simulated",)
WITHOUT_TORCH += (
    "kernels",
    "kernels.upsample_argmax",
    "kernels.dense_crf",
    "pydensecrf.densecrf",
    "pydensecrf.utils",
    "narrowing",
    "report.check",
    "cli",
    "listing",
    "diagnosis",
)


def imports(path: Path) -> set[str]:
    """The stages that a file of the package imports, wherever in the file."""
    package = path.relative_to(PACKAGE.parent).with_suffix("").parts[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if package_part(path) in REACHES_DOWN else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            names = [[*module, alias.name] for alias in node.names]
        else:
            continue
        found |= {name[1] for name in names if name[0] == "labels2masks" and len(name) > 1}
    return found & set(ORDER)


def package_part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def files() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE)


@pytest.mark.parametrize("path", files(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_stage_imports_only_stages_above(path):
    stage = package_part(path)
    assert stage in ORDER, f"{stage} has no place in the order of stages: give it one in this test and in the design"
    below = {name for name in imports(path) - {stage} if ORDER.index(name) > ORDER.index(stage)}
    if stage == "kernels":
        below -= {"grid"}  # a kernel is told where the cells are
    assert not below, f"{stage} imports {sorted(below)}, which come later; hand over what it needs as an argument"


def test_contributing_tells_the_same_order():
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = text.split("only stages before it:")[1].split("`")[1].replace(",", " ").split()
    anywhere = {"kernels"}  # used by all, built early
    assert [s for s in told if s not in anywhere] == [s for s in ORDER if s in told and s not in anywhere]


def test_folders_are_no_catch_alls():
    theirs = PACKAGE / "pydensecrf"  # has the names that scripts import
    names = {p.stem for p in PACKAGE.rglob("*") if p.parent != theirs}
    assert not names & {"utils", "util", "helpers", "misc", "common"}


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_imports_without_torch(module):
    assert "torch" not in loaded_after(f"import labels2masks.{module}")


def test_the_package_itself_and_help_load_nothing_heavy():
    heavy = {"torch", "numpy", "cv2", "skimage", "rich", "PIL"}
    assert not heavy & loaded_after("import labels2masks")
    for words in (["--help"], ["train", "--help"], ["--version"], ["nonsense"]):
        assert not heavy & loaded_after(f"from labels2masks.cli import main; main({words!r})")


def loaded_after(code: str) -> set[str]:
    """The top-level modules in memory after a fresh interpreter ran `code`."""
    report = "; import sys; print(' '.join({n.split('.')[0] for n in sys.modules}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("\n")[-2].split())


def test_every_public_name_is_there():
    for name in labels2masks.__all__:
        assert getattr(labels2masks, name) is not None
    assert set(labels2masks.__all__) <= set(dir(labels2masks))
    with pytest.raises(AttributeError, match="did you mean 'train'"):
        labels2masks.tarin  # noqa: B018
