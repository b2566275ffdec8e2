"""The CRF where nothing but numpy is installed, and the wheels that are tested so (see tests/only_numpy.py)."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from only_numpy import OTHERS

from labels2masks.kernels import extension

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(__file__).with_name("only_numpy.py")


def test_it_runs_where_no_other_package_can_be_imported():
    block = f"import runpy, sys; sys.modules.update(dict.fromkeys({OTHERS})); "
    block += f"runpy.run_path({str(SCRIPT)!r}, None, '__main__')"
    words = [] if extension() else ["--any-kernels"]
    once = {**os.environ, "L2M_KERNELS": "avx2", "L2M_REQUIRE_KERNELS": "0"}  # and no second process
    done = subprocess.run([sys.executable, "-c", block, *words], capture_output=True, text=True, env=once)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-6]) < 1, done.stdout  # seconds of processor time


def test_wheels_are_built_for_every_python_and_tested_by_that_script():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheels = project["tool"]["cibuildwheel"]
    assert ROOT / wheels["test-command"].split("{project}/")[1] == SCRIPT
    assert wheels["test-environment"] == {"PIP_NO_DEPS": "1"} and wheels["test-requires"].startswith("numpy")
    assert project["project"]["requires-python"] == ">=3.11" and wheels["build"].startswith("cp31{1,2")
    assert project["tool"]["scikit-build"]["wheel"]["py-api"] == "cp312"  # where nanobind's stable ABI begins
    assert "STABLE_ABI" in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
