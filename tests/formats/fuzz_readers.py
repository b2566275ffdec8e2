"""Coverage-guided fuzzing of the readers, by hand; pytest does not collect it.

    pip install atheris
    python tests/formats/fuzz_readers.py voc                    # a minute
    python tests/formats/fuzz_readers.py coco 600 [-jobs=2 ...]   # ten, with options of libFuzzer

An input replaces one file of the format's data set in `test_readers.MAKERS`: the first byte says which one of those
that are no photos, the rest is its content. Whatever that is, the reader gives a usable data set or a `DataError`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from types import FunctionType


def formats() -> dict[str, Callable[[Path], Path]]:
    """Format -> what makes its data set of three photos."""
    from formats.test_readers import MAKERS

    return {module.__name__.rsplit(".", 1)[-1]: make for module, make in MAKERS.items()}


def target(name: str, folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    """(TestOneInput, the inputs that change nothing). folder: where the data set is made."""
    from formats.contracts_reader import reads_or_refuses

    from labels2masks.formats.open import open_dataset

    root = formats()[name](folder / "set")
    photos = {photo.image.resolve() for photo in open_dataset(root)}
    whole = {
        file: file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file() and file.resolve() not in photos
    }
    files = list(whole)

    def test_one_input(data: bytes) -> None:
        file = files[data[0] % len(files)] if data else files[0]
        file.write_bytes(data[1:])
        reads_or_refuses(root)
        file.write_bytes(whole[file])

    return test_one_input, [bytes([i]) + content for i, content in enumerate(whole.values())]


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import atheris

    known = formats()
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        sys.exit(f"say a format: {', '.join(known)}")
    seconds = sys.argv[2] if len(sys.argv) > 2 else "60"
    folder = Path(mkdtemp(prefix="fuzz_readers_"))
    test_one_input, seeds = target(sys.argv[1], folder)
    (folder / "corpus").mkdir()
    for i, seed in enumerate(seeds):
        (folder / "corpus" / f"seed{i}").write_bytes(seed)
    for function in gc.get_objects():  # an editable install is loaded past atheris' hook into imports
        if isinstance(function, FunctionType) and (function.__module__ or "").startswith("labels2masks."):
            atheris.instrument_func(function)
    limits = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4096", f"-artifact_prefix={folder}/"]
    limits += [
        "-keep_seed=1",
        "-len_control=0",
        "-reduce_inputs=0",
    ]  # whole files all cover the same: keep each as it is
    print(f"in {folder}; what fails is left there")
    atheris.Setup([sys.argv[0], *limits, *sys.argv[3:], str(folder / "corpus")], test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
