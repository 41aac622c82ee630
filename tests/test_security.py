"""What is read can run nothing, and nothing is listened to before it is asked for."""

import ast
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import jaxssl

PACKAGE = Path(jaxssl.__file__).parent
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "ruamel"}
RUNS = {"eval", "exec", "__import__"}


def dangerous(source: str) -> set[str]:
    """Imports that unpickle or load YAML, calls of what runs text, and arrays that may be read as pickles."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found |= {name for name in modules if name.partition(".")[0] in FORBIDDEN}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            pickles = {word.arg: ast.unparse(word.value) for word in node.keywords}.get("allow_pickle")
            if called in RUNS or pickles == "True" or (called == "np.load" and pickles != "False"):
                found.add(called)
    return found


def test_nothing_that_is_read_can_run():
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    assert {str(path): found for path in files if (found := dangerous(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "import joblib.pool",
        "eval('1')",
        "np.load(p)",
        "f(p, allow_pickle=True)",
    ],
)
def test_what_could_is_known_by_its_name(source):
    assert dangerous(source)


def test_importing_everything_asks_nobody_and_leaves_no_socket_open():
    """What several processes and TensorBoard need comes later. A library may look for IPv6, and closes it."""
    code = """
import os, sys
def told(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise SystemExit(f"{event} {args}")
sys.addaudithook(told)
import jaxssl, jaxssl.cli, jaxssl.run, jaxssl.doctor
assert jaxssl.cli.main(["--version"]) == 0 and jaxssl.pretrain
for name in os.listdir("/proc/self/fd"):
    try:
        assert not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"), name
    except FileNotFoundError:
        pass  # that of the listing itself
"""
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("besides", "heard"), [("pass", 0), ("import jax; server = jax.profiler.start_server({port})", 1)]
)
def test_training_listens_to_nobody_and_asks_nobody(besides, heard, tmp_path):
    """One process alone; several find each other by a coordinator, which is asked for. jax's own sockets are seen."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        besides = besides.format(port=free.getsockname()[1])
    code = f"""
import os, sys, threading
def told(event, args):
    if event == "socket.connect":
        raise SystemExit(f"{{event}} {{args}}")
sys.addaudithook(told)
def own():
    for name in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{{name}}")
        except FileNotFoundError:
            pass
def listening():
    tables = [open(path) for path in ("/proc/self/net/tcp", "/proc/self/net/tcp6") if os.path.exists(path)]
    rows = [row.split() for table in tables for row in table.readlines()[1:]]
    return {{f"socket:[{{row[9]}}]" for row in rows if row[3] == "0A"}} & set(own())
found, over = set(), threading.Event()
def look():
    while not over.wait(0.01):
        found.update(listening())
looking = threading.Thread(target=look)
looking.start()
try:
    import jaxssl
    {besides}
    hearts = jaxssl.data_phantom({str(tmp_path / "hearts")!r}, jaxssl.CineOptions(4, phases=2, slices=3))
    jaxssl.pretrain("mim:tiny", {str(tmp_path / "run")!r}, {{"data.store": str(hearts), "train.steps": 1}})
finally:
    over.set()
    looking.join()
print(len(found))
"""
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == str(heard)
