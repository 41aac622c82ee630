"""What verbs say while they work: to whom, how a warning looks, and how far they are."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import Progress, ProgressColumn


def console_of(console: Console | None) -> Console:
    """The terminal to speak to: progress goes to stderr, where it does not mix with results.

    To a notebook it speaks as to a log file: bars that move are widgets there, which not everybody has installed.
    Brackets, of a path or of a list, are no markup.
    """
    return console or Console(file=sys.stderr, soft_wrap=True, highlight=False, markup=False, force_jupyter=False)


def warner(console: Console) -> Callable[[str], None]:
    """What tells a sentence as a warning."""
    return lambda sentence: console.print(f"Warning: {sentence}", style="yellow")


def bar_on(console: Console, *columns: ProgressColumn) -> Progress:
    """A bar that is there while something goes on, on a terminal alone."""
    return Progress(
        *(columns or Progress.get_default_columns()),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
