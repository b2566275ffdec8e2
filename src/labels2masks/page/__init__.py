"""The page: photos are labelled by hand in a browser, and masks of all of them follow.

    l2m page photos/

`page` opens the folder, starts the server on this machine alone and shows its address, which holds the token.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import UsageError

__all__ = ["page"]


def page(
    photos: Path | str,
    port: int = 0,
    host: str = "127.0.0.1",
    token: str | None = None,
    browser: bool = True,
    classes: Sequence[str] | None = None,
    encoder: str = "tf_efficientnet_lite0",
    weights: str = "auto",
) -> dict[str, Any]:
    """Serve the page until it is stopped (Ctrl-C); returns the address that it had and where the labels are.

    photos: a folder of photos, or any data set that `labels2masks.open` reads and that lies in one folder with its
        photos; the page writes `labels.jsonl` and a folder `.page` there, and changes no other file.
    port: 0 takes a free one. host: an address that others reach needs a `token`, which nobody has to choose otherwise.
    browser: open the page in the person's browser. classes: names to begin with, added to those that are there.
    encoder, weights: of the instant model's features, as `train` takes them.
    Raises UsageError where the extra `page` is missing, the port is taken or another page has the folder open;
    DataError where nothing in it can be shown.
    """
    # A fit and the masks that a browser asks for meanwhile are threads of their own: more inside each only wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from .guard import check_address
        from .served import Served
    except ImportError as error:
        raise UsageError(f"the page needs {error.name}: pip install 'labels2masks[page]'") from None
    check_address(host, token)
    with Served(photos, port, host, token, classes or (), encoder, weights) as served:
        for note in served.project.notes:
            print(note, file=sys.stderr)
        print(
            f"labels: {served.project.file.path}\nopen {served.address}\nstop with Ctrl-C; nothing is lost", flush=True
        )
        if browser:
            webbrowser.open(served.address_once)
        served.run()
        return {"address": served.address, "labels": served.project.file.path}


class _Verb(ModuleType):
    """`labels2masks.page` is a verb and a stage: whichever is imported first, it can be called."""

    def __call__(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        return page(*arguments, **options)


sys.modules[__name__].__class__ = _Verb
