"""Nothing wrong is ever restored, and nothing that was saved is lost."""

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.errors import UserError
from jaxssl.train.checkpoint import Checkpoints, read
from jaxssl.train.fingerprint import fingerprint, named, readable

ROOT = pathlib.Path(__file__).parents[2]
Moments = namedtuple("Moments", ["count", "mu", "nothing"])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    step: Any
    params: Any
    carry: Any
    moments: Any


def make_state(number: int) -> State:
    """A small state whose every array depends on the number, with all that a state may hold."""
    odd = np.array([0x7FC00001, 0x80000000, 0xFF800000, number], np.uint32).view(np.float32)
    params = {"encoder": {"w": jnp.arange(24.0).reshape(8, 3) + number, "b": jnp.asarray(odd)}}
    carry = {"half": jnp.full((5,), number, jnp.bfloat16), "flags": jnp.arange(9) < number}
    carry["key"] = jax.random.key(number)
    carry["queue"] = jax.random.normal(carry["key"], (8, 160))  # too large for orbax to keep it among its names
    moments = (Moments(jnp.int32(number), jax.tree.map(lambda p: p * 0.1, params), None), {})
    return State(jnp.int32(number), params, carry | {"none": jnp.zeros((0, 3)), "empty": {}}, moments)


def bits(tree: Any) -> dict[str, str]:
    return readable(fingerprint(tree))


def save_steps(folder: pathlib.Path, steps: range) -> None:
    with Checkpoints(folder, keep=len(steps), warn=pytest.fail) as checkpoints:
        for step in steps:
            checkpoints.save(step, make_state(step), {"place": step * 64})


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    save_steps(folder, range(1, 3))
    return folder


def restore(folder: pathlib.Path, abstract: Any = None):
    """The restored step and all warnings."""
    warnings: list[str] = []
    with Checkpoints(folder, keep=9, warn=warnings.append) as checkpoints:
        return checkpoints.restore(make_state(0) if abstract is None else abstract), warnings


def test_every_bit_comes_back(tmp_path):
    save_steps(tmp_path / "a" / "b", range(3, 5))
    restored, warnings = restore(tmp_path / "a" / "b")
    assert (restored.step, restored.meta, warnings) == (4, {"place": 256}, [])
    assert bits(restored.state) == bits(make_state(4))
    assert jax.tree.structure(restored.state) == jax.tree.structure(make_state(4))
    assert restored.state.params["encoder"]["b"].dtype == jnp.float32
    assert restored.state.carry["none"].shape == (0, 3)
    draws = [jax.random.normal(state.carry["key"], (3,)) for state in (restored.state, make_state(4))]
    np.testing.assert_array_equal(*draws)


def test_nothing_saved(tmp_path):
    assert restore(tmp_path) == (None, [])
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="no checkpoints"):
            read(folder, pytest.fail)
    assert not (tmp_path / "missing").exists()


def test_newest_steps_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=2, warn=pytest.fail) as checkpoints:
        for step in (1, 5, 7):
            checkpoints.save(step, make_state(step), {})
        assert checkpoints.latest_step() == 7
        checkpoints.save(7, make_state(8), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5", "7"]
    restored, _ = restore(tmp_path)
    assert bits(restored.state) == bits(make_state(7))


def test_a_saved_state_may_be_donated(tmp_path):
    overwrite = jax.jit(lambda state: jax.tree.map(lambda a: a * 0 - 1, state), donate_argnums=0)
    state = {"w": jnp.arange(2.0e6)}
    expected = bits(state)
    with Checkpoints(tmp_path, keep=1, warn=pytest.fail) as checkpoints:
        checkpoints.save(1, state, {})
        jax.block_until_ready(overwrite(state))
        restored = checkpoints.restore({"w": jax.ShapeDtypeStruct((2_000_000,), jnp.float32)})
    assert restored is not None
    assert bits(restored.state) == expected


def truncate(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(place: float):
    def damage(path: pathlib.Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(place * (len(data) - 1))] ^= 1 << (len(data) % 8)
        path.write_bytes(data)

    return damage


DAMAGES = {
    "truncated": truncate,
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": pathlib.Path.unlink,
    "first": flip(0.0),
    "third": flip(1 / 3),
    "two thirds": flip(2 / 3),
    "nine tenths": flip(0.9),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file(two_steps, tmp_path, damage):
    files = [path.relative_to(two_steps) for path in sorted((two_steps / "2").rglob("*")) if path.is_file()]
    fallen_back = []
    for number, file in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(two_steps, folder)
        DAMAGES[damage](folder / file)
        restored, warnings = restore(folder)
        assert bits(restored.state) == bits(make_state(restored.step)), file
        assert restored.meta == {"place": restored.step * 64}
        if restored.step == 2:
            assert (warnings, (folder / "damaged-2").exists()) == ([], False), file
        else:
            (warning,) = warnings
            assert str(folder / "2") in warning
            assert "damaged-2" in warning
            assert (folder / "damaged-2").is_dir()
            fallen_back.append(file)
    # Not all that orbax writes is read back, but the record and the small arrays lie in these three, and the large one
    # in the middle of a fourth.
    needed = {"2/meta/metadata", "2/state/manifest.ocdbt", *(str(file) for file in files if file.match("2/state/d/*"))}
    large = [str(file) for file in files if (two_steps / file).stat().st_size > 4000]
    assert (len(needed), len(large)) == (3, 1)
    expected = needed if damage in ("first", "nine tenths") else needed | set(large)
    assert expected <= {str(file) for file in fallen_back}


def change_meta(folder: pathlib.Path, step: int) -> None:
    path = folder / str(step) / "meta" / "metadata"
    record = json.loads(path.read_text())
    record["meta"]["place"] += 1
    path.write_text(json.dumps(record))


def test_a_changed_loader_position_is_damage(two_steps, tmp_path):
    folder = shutil.copytree(two_steps, tmp_path / "a")
    change_meta(folder, 2)
    restored, (warning,) = restore(folder)
    assert restored.step == 1
    assert "checksum" in warning


def test_lost_meta_is_damage(two_steps, tmp_path):
    folder = shutil.copytree(two_steps, tmp_path / "a")
    shutil.rmtree(folder / "2" / "meta")
    assert restore(folder)[0].step == 1


def test_all_damaged_is_refused_again_and_again(two_steps, tmp_path):
    folder = shutil.copytree(two_steps, tmp_path / "a")
    change_meta(folder, 1)
    change_meta(folder, 2)
    for _ in range(2):
        with pytest.raises(UserError, match=r"Every checkpoint in .* is damaged"):
            restore(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_training_goes_on_after_damage(two_steps, tmp_path):
    folder = shutil.copytree(two_steps, tmp_path / "a")
    for kept in ("damaged-2", "damaged-2-again"):
        change_meta(folder, 2)
        assert restore(folder)[0].step == 1
        assert (folder / kept).is_dir()
        with Checkpoints(folder, keep=9, warn=pytest.fail) as checkpoints:
            assert checkpoints.latest_step() == 1
            checkpoints.save(2, make_state(2), {"place": 128})
        assert restore(folder)[0].step == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p | {"b": p["b"].astype(jnp.bfloat16)}, r"params/encoder/b is float32\[4\] there and bfloat16\[4\]"),
        (lambda p: p | {"w": p["w"].T}, r"params/encoder/w is float32\[8, 3\] there and float32\[3, 8\] here"),
        (lambda p: {"w": p["w"]}, r"params/encoder/b is float32\[4\] there and absent here"),
        (lambda p: p | {"c": p["b"], "d": p["b"]}, r"c \(and 1 more\) is absent there and float32\[4\] here"),
    ],
)
def test_another_form_is_refused(two_steps, change, message):
    state = make_state(0)
    other = State(state.step, {"encoder": change(state.params["encoder"])}, state.carry, state.moments)
    with pytest.raises(UserError, match=message):
        restore(two_steps, other)
    assert sorted(path.name for path in two_steps.iterdir()) == ["1", "2"]


def test_another_generator_of_keys_is_refused(tmp_path):
    with Checkpoints(tmp_path, keep=1, warn=pytest.fail) as checkpoints:
        checkpoints.save(1, {"key": jax.random.key(0)}, {})
        with pytest.raises(UserError, match=r"key<fry>\[2\] there and key<rbg>\[4\] here"):
            checkpoints.restore({"key": jax.random.key(0, impl="rbg")})


def test_reading_without_knowing_the_form(two_steps, tmp_path):
    folder = shutil.copytree(two_steps, tmp_path / "a")
    restored = read(folder, pytest.fail)
    assert (restored.step, restored.meta) == (2, {"place": 128})
    assert bits(restored.state) == bits(make_state(2))
    assert all(isinstance(leaf, np.ndarray) for leaf in named(restored.state).values())
    assert {name: sorted(branch) for name, branch in restored.state.items() if name != "step"} == {
        "params": ["encoder"],
        "carry": ["empty", "flags", "half", "key", "none", "queue"],
        "moments": ["0", "1"],
    }
    change_meta(folder, 2)
    warnings: list[str] = []
    assert read(folder, warnings.append).step == 1
    assert "step 1" in warnings[0]
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


@contextmanager
def full_disk() -> Iterator[None]:
    """Writing more than 100 bytes to a file fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_failed_save_is_reported_and_tried_again(two_steps, tmp_path):
    folder = shutil.copytree(two_steps, tmp_path / "a")
    warnings: list[str] = []
    with Checkpoints(folder, keep=2, warn=warnings.append) as checkpoints:
        with full_disk():
            checkpoints.save(3, make_state(3), {})
            checkpoints.save(4, make_state(4), {})
            assert checkpoints.latest_step() == 2
        assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["1", "2"]
        checkpoints.save(4, make_state(4), {})
    assert [warning.split(" could")[0] for warning in warnings] == ["Step 3", "Step 4"]
    assert bits(restore(folder)[0].state) == bits(make_state(4))


def test_losing_the_last_state_is_an_error(tmp_path):
    bits(make_state(1))  # compiled while its cache can be written
    checkpoints = Checkpoints(tmp_path, keep=2, warn=pytest.fail)
    with full_disk():
        checkpoints.save(1, make_state(1), {})
        with pytest.raises(UserError, match="Step 1 could not be saved"):
            checkpoints.close()


def test_what_stopped_a_run_is_not_hidden_by_a_failed_save(tmp_path):
    warnings: list[str] = []
    checkpoints = Checkpoints(tmp_path, keep=2, warn=warnings.append)

    def interrupted() -> None:
        with full_disk(), checkpoints:
            checkpoints.save(1, make_state(1), {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(warnings) == 1


def run_script(script: str, *arguments: object, devices: int = 1, **options: Any) -> "subprocess.Popen[str]":
    """Start a script in a process of its own, in which this many devices are simulated."""
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=os.environ | flags | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


RESHARDED = """
import gc, pathlib, sys, jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jaxssl.train.checkpoint import Checkpoints
from jaxssl.train.fingerprint import named

def place(tree, devices):
    mesh = jax.make_mesh((devices,), ("data",), (AxisType.Auto,), devices=jax.devices()[:devices])
    specs = {"rows": P("data"), "columns": P(None, "data"), "keys": P("data")}
    return {name: jax.device_put(leaf, NamedSharding(mesh, specs.get(name, P()))) for name, leaf in tree.items()}

def raw(leaf):
    return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf).tobytes()

folder = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(0)
tree = {"rows": rng.random((8, 40), np.float32), "columns": rng.random((40, 16), np.float32), "scalar": jnp.int32(3),
        "keys": jax.random.split(jax.random.key(0), 8), "half": jnp.ones(5, jnp.bfloat16)}
with Checkpoints(folder, keep=3, warn=sys.exit) as checkpoints:
    for step in (1, 2):
        checkpoints.save(step, place(tree, 8), {})
for names in (folder / "2" / "state" / "d").iterdir():
    names.write_bytes(b"")
for devices, warn in ((4, print), (2, sys.exit), (1, sys.exit), (8, sys.exit)):
    abstract = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), place(tree, devices))
    with Checkpoints(folder, keep=3, warn=warn) as checkpoints:
        state = checkpoints.restore(abstract).state
    for name, leaf in state.items():
        assert leaf.sharding == abstract[name].sharding, name
        assert raw(leaf) == raw(tree[name]), name
gc.collect()
"""


def test_restored_on_another_number_of_devices(tmp_path):
    process = run_script(RESHARDED, tmp_path, devices=8)
    out, err = process.communicate(timeout=120)
    # Going on without the damaged step leaves nothing else on the terminal.
    assert (process.returncode, err) == (0, "")
    assert "going on from step 1" in out


KILLED = """
import sys, jax.numpy as jnp
from jaxssl.train.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1], keep=2, warn=sys.exit)
for step in range(1, 1000):
    checkpoints.save(step, {"w": jnp.full((5000, 1000), step, jnp.float32)}, {"place": step})
"""


def kill_while_saving(process: "subprocess.Popen[str]", folder: pathlib.Path, from_step: int) -> int:
    """Freeze the process, see that a step is half-written, and kill it; the step."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        steps = [int(path.name.split(".")[0]) for path in folder.glob("*.orbax-checkpoint-tmp")]
        if steps and steps[0] >= from_step:
            process.kill()
            process.communicate()
            return steps[0]
        process.send_signal(signal.SIGCONT)
        time.sleep(0.002)
    pytest.fail(f"no step was being saved: {process.communicate()}")


@pytest.mark.parametrize("from_step", [1, 3])
def test_killed_while_saving(tmp_path, from_step):
    killed = kill_while_saving(run_script(KILLED, tmp_path), tmp_path, from_step)
    abstract = {"w": jax.ShapeDtypeStruct((5000, 1000), jnp.float32)}
    with Checkpoints(tmp_path, keep=2, warn=pytest.fail) as checkpoints:
        assert all(path.name.isdigit() for path in tmp_path.iterdir())
        restored = checkpoints.restore(abstract)
        assert (restored.step if restored else 0) == killed - 1
        if restored:
            assert restored.meta == {"place": restored.step}
            np.testing.assert_array_equal(restored.state["w"], restored.step)
        checkpoints.save(killed, {"w": jnp.zeros((5000, 1000))}, {"place": 0})
    assert (read(tmp_path, pytest.fail).step, read(tmp_path, pytest.fail).meta) == (killed, {"place": 0})
