"""Many subjects: how many may be asked for, and how they are made on all cores, in their order."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from jaxssl.errors import UserError

T = TypeVar("T")


def refuse_below(options: object, **least: int) -> None:
    """Refuse options of a population that are smaller than makes sense."""
    for name, smallest in least.items():
        if getattr(options, name) < smallest:
            raise UserError(
                f"phantom {name} must be at least {smallest}, not {getattr(options, name)}: choose a larger one."
            )


def one_after_the_other(
    subject: Callable[[int], list[T]], subjects: int, progress: Callable[[int, int], None] | None = None
) -> Iterator[T]:
    """What `subject(0)`, `subject(1)`, ... give; `progress(done, subjects)` is called after each.

    As many subjects are made ahead as there are cores, whose numpy runs beside each other in threads.
    """
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque[Future[list[T]]]()
        for index in range(subjects + workers):
            if index < subjects:
                waiting.append(pool.submit(subject, index))
            if index >= workers and waiting:
                yield from waiting.popleft().result()
                if progress is not None:
                    progress(index - workers + 1, subjects)
