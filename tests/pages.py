"""The pages that people read, and what they are told to type."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks in a language, without their indentation."""
    found = BLOCK.findall(page.read_text())
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, kind, text in found if kind == language]


def typed(page: Path) -> list[str]:
    """The commands, line by line as they stand there, continuations joined."""
    lines = [line for text in blocks(page, "") for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("jaxssl ")]


def commands(page: Path) -> list[str]:
    """What jaxssl is told by them."""
    return [" ".join(shlex.split(line, comments=True)) for line in typed(page)]
