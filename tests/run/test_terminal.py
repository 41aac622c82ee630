"""What verbs say on the terminal is told as it is."""

import pytest
from rich.console import Console

from jaxssl.run.terminal import bar_on, console_of, warner


@pytest.mark.parametrize("sentence", ["runs/[a] has no label [red], but [0, 1].", "[/] is no folder.", "plain"])
def test_a_sentence_is_told_as_it_is_whatever_brackets_are_in_it(sentence, capsys):
    warner(console_of(None))(sentence)
    console_of(None).print(sentence)
    assert capsys.readouterr().err == f"Warning: {sentence}\n{sentence}\n"


def test_a_bar_is_drawn_on_a_terminal_alone(capsys):
    for console in (console_of(None), Console(force_terminal=True, width=60)):
        with bar_on(console) as bar:
            bar.update(bar.add_task("reading", total=2), completed=1)
    said = capsys.readouterr()
    assert said.err == ""
    assert "reading" in said.out
