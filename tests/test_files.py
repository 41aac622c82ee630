"""What is written is whole or not there: `beside`, and that nothing is written without it."""

import ast
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

import jaxssl
from jaxssl.files import ABANDONED, PART, beside, clear_abandoned, put_text

PACKAGE = Path(jaxssl.__file__).parent
WRITES = {"write_text", "write_bytes", "savefig", "to_parquet", "savez", "savez_compressed", "copyfile", "write_table"}
SAVERS = {"np", "nib", "onnx", "still", "Image"}
OTHERWISE = {
    "data/cache.py": "in the folder of an unfinished cache, renamed when it is whole",
    "data/ingest/engine.py": "a lock",
    "data/ingest/pseudonym.py": "a key that is linked to its name, as no other may ever take its place",
    "data/shards.py": "beside, by `put_text` of its own, for whom it is told",
    "reporting/card.py": "in the folder of an unfinished export",
    "reporting/figures.py": "into memory",
    "run/onnx.py": "in the folder of an unfinished export",
    "run/table.py": "at the place beside that it is given",
    "run/probe.py": "by `run/table.py`",
    "run/embedding.py": "by `run/table.py`",
    "run/stages.py": "a lock",
    "run/openings.py": "a line more of a ledger",
    "train/monitors.py": "a line more of the metrics; `cut_lines` mends the last",
    "workdir.py": "a lock",
    **dict.fromkeys(
        ("run/sides.py", "run/contrasting.py", "run/augmenting.py", "bench/loader.py", "bench/loss.py"),
        "in a temporary folder, for the other side of a comparison",
    ),
    "bench/serve.py": "a switch of the system",
    "data/formats/dicom/decoder.py": "the null device",
}


def is_write(node: ast.AST) -> bool:
    """Whether a call writes a file, as far as its name tells."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("open", "fdopen"):
        words = [
            arg.value for arg in [*node.args, *(word.value for word in node.keywords)] if isinstance(arg, ast.Constant)
        ]
        return any(isinstance(word, str) and set(word) <= set("wxab+t") and set(word) & set("wxa+") for word in words)
    of = node.func.value if isinstance(node.func, ast.Attribute) else None
    return name in WRITES or (name == "save" and isinstance(of, ast.Name | ast.Subscript | ast.Call) and _saves(of))


def _saves(of: ast.AST) -> bool:
    return not isinstance(of, ast.Name) or of.id in SAVERS


def unguarded(node: ast.AST) -> list[int]:
    """The lines of writes that are in no `with beside(...)`."""
    if isinstance(node, ast.With) and any("beside(" in ast.unparse(item.context_expr) for item in node.items):
        return []
    here = [node.lineno] if is_write(node) else []
    return here + [line for child in ast.iter_child_nodes(node) for line in unguarded(child)]


def test_every_file_is_written_beside_or_has_a_reason():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name != "files.py" and (lines := unguarded(ast.parse(path.read_text()))):
            found[name] = lines
    assert {name: lines for name, lines in found.items() if name not in OTHERWISE} == {}
    assert set(OTHERWISE) <= set(found), "these write nothing any more"


@pytest.mark.parametrize(
    "line", ["p.write_text(t)", "open(p, 'w')", "p.open(mode='ab')", "np.save(p, a)", "f().save(p)"]
)
def test_a_write_is_known_by_its_name(line):
    assert unguarded(ast.parse(line)) == [1]
    assert unguarded(ast.parse(f"with beside(p) as q:\n    {line}")) == []


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    put_text(path, "old")

    def fail():
        with beside(path) as unfinished:
            unfinished.write_text("half")
            assert path.read_text() == "old"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]
    with beside(path) as unfinished:
        unfinished.write_text("new")
        assert unfinished.suffix == ".txt"
    assert path.read_text() == "new"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("name", [None, "a file that was read"])
def test_what_could_not_be_written_is_named_unless_the_fault_lies_elsewhere(tmp_path, name):
    with pytest.raises(OSError, match="No space") as refused, beside(tmp_path / "table.csv"):
        raise OSError(errno.ENOSPC, "No space left on device", *([name] if name else []))
    assert refused.value.filename == (name or str(tmp_path / "table.csv"))
    with pytest.raises(FileNotFoundError) as refused:
        put_text(tmp_path / "nowhere" / "table.csv", "")
    assert refused.value.filename == str(tmp_path / "nowhere" / "table.csv")


def test_of_several_who_write_one_file_at_once_each_writes_its_own(tmp_path):
    path, together = tmp_path / "a.txt", Barrier(8)

    def write(number: int) -> None:
        with beside(path) as unfinished:
            unfinished.write_text(f"{number}")
            together.wait(timeout=60)
            assert unfinished.read_text() == f"{number}"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert path.read_text() in map(str, range(8))
    assert [*tmp_path.iterdir()] == [path]


def test_what_killed_processes_left_is_cleared_and_what_somebody_writes_is_not(tmp_path):
    with beside(tmp_path / "a.txt") as unfinished:
        unfinished.touch()
        left = tmp_path / f"{PART}0123abcd-a.txt"
        left.touch()
        os.utime(left, (0, left.stat().st_mtime - ABANDONED - 1))
        clear_abandoned(tmp_path)
        assert [*tmp_path.iterdir()] == [unfinished]
