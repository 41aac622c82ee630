"""What an installation draws in and brings along."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import warnings
import zipfile
from collections.abc import Iterator
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from source import of_the_source

import jaxssl

ROOT = pathlib.Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def needed(requirement: Requirement, python: str, extra: str = "") -> bool:
    """Whether a requirement counts on a Linux machine with that Python."""
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux", "extra": extra}
    return requirement.marker is None or requirement.marker.evaluate(here)


def drawn_in(name: str, extras: frozenset[str]) -> set[str]:
    """Names of everything that an installed package needs here, by its own word and by that of those it needs."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in {"", *extras}]
    while waiting:
        asked, extra = waiting.pop()
        if (asked, extra) in seen:
            continue
        seen.add((asked, extra))
        for line in metadata.requires(asked) or []:
            requirement = Requirement(line)
            if needed(requirement, python, extra):
                waiting += [(canonicalize_name(requirement.name), one) for one in {"", *requirement.extras}]
    return {asked for asked, _ in seen}


def pins(python: str) -> dict[str, str]:
    """Package to version in the constraints file, for one Python; a package twice for one Python is a fault."""
    lines = [Requirement(line) for line in constraint_lines()]
    here = [line for line in lines if needed(line, python)]
    assert len({line.name for line in here}) == len(here)
    return {str(canonicalize_name(line.name)): str(line.specifier).removeprefix("==") for line in here}


def constraint_lines() -> Iterator[str]:
    """The lines of the constraints file that are not remarks."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            yield line


@pytest.fixture
def installed() -> None:
    try:
        metadata.distribution("jaxssl")
    except metadata.PackageNotFoundError:
        pytest.skip("jaxssl runs from a folder here, it is not installed")


@pytest.mark.usefixtures("installed")
def test_a_cpu_installation_draws_in_no_other_framework():
    everything = drawn_in("jaxssl", frozenset())
    assert {"jax", "flax", "orbax-checkpoint", "tensorflow-datasets", "etils", "tensorstore"} <= everything
    of_tensorflow = {name for name in everything if name.startswith(("tensorflow", "tf-", "keras"))}
    assert of_tensorflow == {"tensorflow-datasets", "tensorflow-metadata"}
    assert not {name for name in everything if name.startswith(("torch", "nvidia", "triton", "jax-cuda", "libtpu"))}


@pytest.mark.usefixtures("installed")
def test_everything_drawn_in_is_pinned():
    pinned = pins(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert drawn_in("jaxssl", frozenset({"dev"})) - {"jaxssl"} - pinned.keys() == set()


def test_what_is_pinned_takes_the_first_release_of_this_python():
    """Debian stays with an early one, where pip only speaks of packages in conflict."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    asked = {each.name: each.metadata["Requires-Python"] or "" for each in metadata.distributions()}
    names = {name for name in asked if canonicalize_name(name) in pins(here)}
    assert names
    assert {name: asked[name] for name in names if not SpecifierSet(asked[name]).contains(f"{here}.0")} == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_lie_within_the_bounds(python):
    pinned = pins(python)
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    wanted = [line for line in map(Requirement, lines) if needed(line, python)]
    outside = [str(line) for line in wanted if not line.specifier.contains(pinned[canonicalize_name(line.name)])]
    assert outside == []


def test_constraints_hold_versions_only():
    shape = re.compile(r'[a-z0-9-]+==[0-9][0-9a-z.]*(; python_version (<|>=|==) "3\.\d+")?')
    assert [line for line in constraint_lines() if not shape.fullmatch(line)] == []


def test_runs_on_the_pythons_it_claims():
    prefix = "Programming Language :: Python :: "
    assert [line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(prefix)] == [*PYTHONS]
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_only_our_own_warnings_are_errors():
    with pytest.raises(RuntimeWarning):
        warnings.warn_explicit("ours", RuntimeWarning, "store.py", 1, module="jaxssl.data.store")
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn_explicit("theirs", RuntimeWarning, "scan.py", 1, module="jax.lax")
    assert [str(warning.message) for warning in seen] == ["theirs"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel of this source, built with what is installed."""
    path = built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))
    assert path.name == f"jaxssl-{jaxssl.__version__}-py3-none-any.whl"
    return zipfile.ZipFile(path)


def built(kind: str, source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The one file that a build of this kind leaves in the folder."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


@of_the_source
def test_a_wheel_brings_code_recipes_script_and_licence(wheel):
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    tracked = [path for path in (ROOT / "jaxssl").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    there = {path.relative_to(ROOT) for path in tracked}
    assert {path.suffix for path in there} >= {".py", ".html", ".css", ".js", ".md"}
    recipes = {pathlib.Path("jaxssl") / path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.py")}
    assert recipes
    assert {pathlib.Path(name) for name in inside} == there | recipes
    about = f"jaxssl-{jaxssl.__version__}.dist-info/"
    assert b"jaxssl = jaxssl.cli:main" in wheel.read(about + "entry_points.txt")
    assert b"Apache License" in wheel.read(about + "licenses/LICENSE")


@of_the_source
def test_recipes_of_a_wheel_are_found_by_name_from_anywhere(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    script = "import jaxssl.recipe as r; print(r.__file__, *r.names())"
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=empty,
        env={"PYTHONPATH": str(tmp_path / "site"), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    where, *names = ran.stdout.split()
    assert pathlib.Path(where).is_relative_to(tmp_path / "site")
    assert sorted(names) == sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "__init__")


def test_a_source_distribution_makes_the_same_wheel(wheel, tmp_path):
    shutil.unpack_archive(built("sdist", ROOT, tmp_path / "sdist"), tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = zipfile.ZipFile(built("wheel", source, tmp_path / "again"))
    inside, expected = ({each.filename: each.CRC for each in one.infolist()} for one in (again, wheel))
    assert inside == expected
    brought = {path.name for path in source.iterdir()}
    assert {"README.md", "CITATION.cff", "LICENSE", "Makefile", "constraints.txt", "docs", "tests"} <= brought


@pytest.mark.slow
def test_an_installed_wheel_pretrains_and_reports_from_an_empty_folder(wheel, tmp_path):
    place, empty = tmp_path / "venv", tmp_path / "empty"
    venv.create(place)
    empty.mkdir()
    python = place / "bin" / "python"
    packages = next(place.glob("lib/python*/site-packages"))
    # What jaxssl needs is borrowed from here, jaxssl itself is not.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, wheel.filename], check=True)

    def jaxssl(words: str) -> str:
        free = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        ran = subprocess.run(
            [place / "bin" / "jaxssl", *words.split()], cwd=empty, env=free, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert "Five things to do next" in jaxssl("")
    jaxssl("data phantom --out stores/hearts --subjects 10 --phases 2 --slices 3")
    jaxssl("pretrain mim:tiny --data.store stores/hearts --workdir runs/mim")
    jaxssl("finetune segment:tiny --data.store stores/hearts --init.run runs/mim --workdir runs/few")
    jaxssl("report runs/mim runs/few")
    assert "<h1>" in (empty / "report.html").read_text()


def test_what_is_cited_is_this_version():
    assert f"\nversion: {jaxssl.__version__}\n" in (ROOT / "CITATION.cff").read_text()
