"""The command line as a person types it: from check to ONNX on a small data set, then what can be mistyped."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_dataset
from PIL import Image

import labels2masks as l2m
from labels2masks import cli
from labels2masks.command.told import tell
from labels2masks.command.typed import black_and_white

SOURCE = str(Path(l2m.__file__).parents[1])
QUICK = "--encoder mobilenetv3_small_050 --network deeplab_v3plus --weights none --epochs 1 --size 64"
QUICK += " --set threads=1 --set workers=0 --set batch=2 --set crop=[48,64] --set precision=float32"
QUICK += " --set memory_format=contiguous --set validations=1"


def l2m_command(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "labels2masks", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd)


def last_line(done: subprocess.CompletedProcess[str]):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().split("\n")[-1])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("cli") / "tiny")


@pytest.fixture(scope="module")
def run_folder(tiny) -> Path:
    """A run of eight steps or so: wrong about everything, and whole."""
    folder = tiny.parent / "run"
    done = l2m_command("train", tiny, *QUICK.split(), "--out", folder, "--json")
    result = last_line(done)
    assert result["run"] == str(folder) and 0 <= result["miou"] <= 1 and "protocol" in result
    assert "Traceback" not in done.stderr and (folder / "model.safetensors").is_file()
    return folder


def inside(capsys, *words: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command in this process."""
    code = cli.main([str(w) for w in words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_finished_run_is_not_overwritten(run_folder, tiny, capsys):
    before = (run_folder / "model.safetensors").read_bytes()
    code, _, err = inside(capsys, "train", tiny, *QUICK.split(), "--out", run_folder)
    assert code == 2 and "--resume" in err and err.count("\n") == 1
    code, out, _ = inside(capsys, "train", tiny, *QUICK.split(), "--out", run_folder, "--resume", "--json")
    assert code == 0 and json.loads(out.strip().split("\n")[-1])["run"] == str(run_folder)
    assert (run_folder / "model.safetensors").read_bytes() == before


def test_predict_writes_indexed_masks_of_the_images_size(run_folder, tiny, tmp_path, capsys):
    code, out, _ = inside(capsys, "predict", run_folder, tiny / "images", "--out", tmp_path / "p", "--json")
    assert code == 0 and json.loads(out.strip().split("\n")[-1])["predicted"] == 12
    mask = Image.open(tmp_path / "p" / "photo03.png")
    assert mask.size == (64, 48) and mask.mode == "P" and set(np.unique(mask)) <= {0, 1, 2}
    code, out, _ = inside(capsys, "evaluate", tmp_path / "p", tiny, "--split", "val", "--json")
    folder_score = json.loads(out.strip().split("\n")[-1])
    code, out, _ = inside(capsys, "evaluate", run_folder, tiny, "--split", "val")
    assert code == 0 and f"mIoU {100 * folder_score['miou']:.1f}" in out and "protocol" not in out.lower()[:20]


def test_crf_from_tuning_to_masks(run_folder, tiny, tmp_path, capsys):
    photo, tuned = tiny / "images" / "photo09.png", tmp_path / "crf.json"
    words = ["crf", "tune", tiny, "--model", run_folder, "--folds", "2", "--evaluations", "3", "--out", tuned]
    code, out, err = inside(capsys, *words)
    assert code == 0, err
    assert "held out" in out and "leave the CRF out" in out, "an untrained network has no outlines"
    code, out, _ = inside(capsys, "predict", run_folder, photo, "--out", tmp_path / "p", "--also", "scores")
    scores, out_folder = tmp_path / "p" / "scores" / "photo09.npz", tmp_path / "crf"
    code, out, _ = inside(capsys, "crf", photo, scores, "--preset", tuned, "--out", out_folder, "--json")
    made = json.loads(out.strip().split("\n")[-1])
    assert code == 0 and made["read_as"] == "probabilities" and Path(made["picture"]).is_file()
    code, out, _ = inside(capsys, "crf", photo, "--model", run_folder, "--preset", tuned, "--out", out_folder)
    assert code == 0 and made["crf"] in out
    words = ["predict", run_folder, photo, "--out", tmp_path / "q", "--crf", tuned, "--json"]
    code, out, _ = inside(capsys, *words)
    assert code == 0 and json.loads(out.strip().split("\n")[-1])["crf"] == made["crf"]
    by_model, by_predict = (Image.open(p) for p in (made["mask"], tmp_path / "q" / "photo09.png"))
    np.testing.assert_array_equal(np.asarray(by_model), np.asarray(by_predict))


@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="needs the extra [onnx]")
def test_export_predicts_the_same_masks(run_folder, tiny, tmp_path):
    exported = last_line(l2m_command("export", run_folder, "--onnx", tmp_path / "model.onnx", "--json"))
    assert exported["onnx"] == str(tmp_path / "model.onnx")
    for model in (run_folder, tmp_path / "model.onnx"):
        last_line(l2m_command("predict", model, tiny / "images", "--out", tmp_path / Path(model).stem, "--json"))
    for i in range(12):
        ours, theirs = (np.asarray(Image.open(tmp_path / m / f"photo{i:02d}.png")) for m in ("run", "model"))
        assert (ours == theirs).mean() > 0.999


def test_check_and_convert(tiny, tmp_path, capsys):
    code, out, _ = inside(capsys, "check", tiny, "--out", tmp_path / "check")
    assert code == 0 and "disc" in out and "12 photos" in out and (tmp_path / "check" / "contact_sheet.png").is_file()
    code, out, _ = inside(capsys, "check", tiny, "--classes", "disc", "--json")
    assert code == 0 and [c["name"] for c in json.loads(out.split("\n")[-2])["classes"]] == ["background", "disc"]
    code, out, _ = inside(capsys, "convert", tiny, tmp_path / "tiny.jsonl", "--to", "jsonl")
    assert code == 0 and "tiny.jsonl" in out
    code, out, _ = inside(capsys, "check", tmp_path / "tiny.jsonl", "--merge", "disc+box=thing", "--json")
    assert [c["name"] for c in json.loads(out.split("\n")[-2])["classes"]] == ["background", "thing"]


@pytest.mark.parametrize("what", ["networks", "encoders", "recipes", "steps", "cues", "formats"])
def test_list(what, capsys):
    code, out, _ = inside(capsys, "list", what, "--json")
    assert code == 0 and all(row["name"] for row in json.loads(out))
    assert all(row["name"] for row in json.loads(out)) and json.loads(out)
    code, out, _ = inside(capsys, "list", what)
    assert code == 0 and out


def test_list_of_one_network_and_doctor(capsys):
    code, out, _ = inside(capsys, "list", "fcn8s", "--json")
    assert code == 0 and [row["name"] for row in json.loads(out)] == ["fcn8s"]
    code, out, _ = inside(capsys, "doctor", "--json")
    found = {f["name"]: f for f in json.loads(out)}
    assert code == 0 and {"python", "torch", "kernels", "weights", "disk", "command l2m"} <= set(found)
    code, out, _ = inside(capsys, "doctor")
    assert code == 0 and all(name in out for name in found)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["trian", "x"], 2, "no command 'trian' - did you mean 'train'?"),
        (["train"], 2, "DATA"),
        (["train", "{tiny}", "--epoch", "3"], 2, "--epochs"),
        (["train", "{tiny}", "--epochs", "many"], 2, "--epochs"),
        (["train", "{tiny}", "--epochs", "1", "--minutes", "1"], 2, "not both"),
        (["train", "{tiny}", "--resume"], 2, "--out"),
        (["train", "{tiny}", "--network", "fcn9s"], 2, "did you mean 'fcn"),
        (["train", "{tiny}", "--recipe", "everyda"], 2, "did you mean 'everyday'"),
        (["train", "{tiny}", "--set", "optimiser.rat=1"], 2, "did you mean 'optimiser.rate'"),
        (["train", "{tiny}", "--set", "optimiser.rate"], 2, "--set takes NAME=VALUE"),
        (["train", "{tiny}", "--classes", "dsic"], 2, "did you mean 'disc'"),
        (["check", "{tiny}", "--merge", "disc"], 2, "--merge takes OLD+OLD=NEW"),
        (["check", "{tiny}", "--others", "nothing"], 2, "'void' or 'background'"),
        (["check", "{tiny}", "--split", "vall"], 2, "did you mean 'val'"),
        (["check", "{tiny}/nowhere"], 3, "no such file or folder"),
        (["predict", "{tiny}", "{tiny}"], 2, "model"),
        (["predict", "x", "y", "--levels", "low"], 2, "--levels takes two numbers or 'percentile'"),
        (["list", "netwroks"], 2, "did you mean 'networks'"),
        (["convert", "{tiny}", "x", "--to", "jsnl"], 2, "did you mean 'jsonl'"),
        (["export", "x"], 2, "--onnx"),
        (["crf", "{tiny}/images/photo00.png"], 2, "--model RUN"),
        (["crf", "{tiny}/images/photo00.png", "{tiny}/classes.txt"], 3, "classes.txt"),
        (["crf", "{tiny}/images/photo00.png", "{tiny}/masks/photo00.png", "--preset", "irm"], 2, "did you mean 'irn'"),
        (["crf", "tune", "{tiny}"], 2, "--model"),
        (["crf", "tune", "{tiny}", "--model", "x"], 2, "no model in x"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_remedy(words, code, says, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    got, out, err = inside(capsys, *(w.format(tiny=tiny) for w in words))
    assert got == code and says in err, (got, err)
    assert (
        err.split("\n")[-2].startswith("error: ") and err.count("error") == 1 and "Traceback" not in err and out == ""
    )


def test_a_damaged_file_is_named(tmp_path, capsys):
    root = write_tiny_dataset(tmp_path / "damaged", photos=3)
    (root / "classes.txt").write_bytes(b"\xff\xfe\xff")
    code, _, err = inside(capsys, "check", root)
    assert code == 3 and "classes.txt" in err


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "big.png"), 4, "disk is full while writing big.png"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 4, "disk is full"),
        (KeyboardInterrupt(), 130, "stopped from the keyboard"),
        (PermissionError(errno.EACCES, "Permission denied", "locked.png"), 3, "locked.png: permission denied"),
        (RuntimeError("two\nlines"), 4, "RuntimeError: two lines (--debug shows where)"),
        (MemoryError(), 4, "MemoryError"),
    ],
)
def test_failures_on_the_way(failure, code, says, monkeypatch, capsys):
    def fail():
        raise failure

    monkeypatch.setattr(l2m, "doctor", fail, raising=False)
    got, _, err = inside(capsys, "doctor")
    assert got == code and says in err and err.count("\n") == 1 and "Traceback" not in err
    got, _, err = inside(capsys, "doctor", "--debug")
    assert got == code and "Traceback" in err and says in err.split("\n")[-2]


def test_words_become_what_the_parser_takes():
    assert cli.as_parsed(["predict", "--levels", "0", "4095", "x"]) == ["predict", "--levels", "0,4095", "x"]
    assert cli.as_parsed(["predict", "--levels", "percentile", "x"])[2:] == ["percentile", "x"]
    assert cli.as_parsed(["crf", "tune", "x"]) == ["crf tune", "x"] and cli.as_parsed(["crf"]) == ["crf"]
    assert black_and_white("0,4095") == (0.0, 4095.0)
    assert black_and_white("percentile") == "percentile" and black_and_white(None) is None


def test_json_has_no_nan(capsys):
    tell({"a": float("nan"), "b": np.float32(1.5), "c": Path("x"), "d": {3: [np.int64(2)]}}, True)
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": 1.5, "c": "x", "d": {"3": [2]}}


def test_the_module_is_the_command(tmp_path):
    done = l2m_command("--version", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.strip() == l2m.__version__
    assert "train" in l2m_command(cwd=tmp_path).stdout
