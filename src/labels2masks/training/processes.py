"""One process or several: what the main one decides, all follow.

`torchrun --nproc-per-node 4 -m labels2masks train ...` starts several. Each trains on its share of every
batch; the main one alone plans, holds the folder, writes and scores.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import TypeVar

import torch
import torch.distributed
from accelerate import Accelerator, PartialState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list

T = TypeVar("T")


def accelerator() -> Accelerator:
    """This process's device and its place among the others. They wait for the main one as long as it scores."""
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    made = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[patience])
    if made.num_processes > 1:
        _leave_in_order()
    return made


@cache
def _leave_in_order() -> None:
    """Left to the interpreter's end, the threads of the process group may be torn down while they run, and abort."""
    atexit.register(torch.distributed.destroy_process_group)


def from_main(act: Callable[[], T]) -> T:
    """What `act` gives in the main process, in every process; an exception is raised in every process too."""
    state = PartialState(cpu=not torch.cuda.is_available())
    if state.num_processes == 1:
        return act()
    given: list = [None, None]
    if state.is_main_process:
        try:
            given[0] = act()
        except Exception as error:
            given[1] = error
    broadcast_object_list(given)
    if given[1] is not None:
        raise given[1]
    return given[0]
