"""A run's folder: which recipe it belongs to, what became of it, and which subjects it has seen."""

import contextlib
import datetime
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxssl import config
from jaxssl.data.seen import NOBODY, Seen
from jaxssl.errors import UserError
from jaxssl.files import beside, clear_abandoned, take_or_warn
from jaxssl.recipe import Recipe, lasting
from jaxssl.version import __version__

SEEN = "seen.json"
"""In a run's folder, whom it was trained on."""


@dataclass(frozen=True)
class Workdir:
    """Paths and small files of one run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def claim(self, recipe: Recipe, data: dict[str, Any]) -> None:
        """Make the folder this recipe's, or see that it already is; that of another recipe or other data is refused.

        How the run is carried out (`CARRYING_OUT`) may change from call to call; the folder keeps the last.
        """
        saved = self.path / "recipe.json"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not saved.exists():
                config.save(recipe, saved)
        except OSError as error:
            raise UserError(f"Workdir {self.path} cannot be written ({error.strerror}); choose another.") from error
        self.refuse_another(recipe, data)
        config.save(recipe, saved)

    def refuse_another(self, recipe: Recipe, data: dict[str, Any]) -> None:
        """Refuse another recipe than that of the folder, or other data."""
        before, now = lasting(config.read_json(self.path / "recipe.json")), lasting(config.to_dict(recipe))
        different = [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
        if different:
            name = min(different, key=lambda each: (each != "name", each))
            raise UserError(
                f"Workdir {self.path} belongs to another recipe: {name} was {before.get(name)!r} and is now "
                f"{now.get(name)!r}{_and_more(different)}; choose another workdir, or the old values to continue."
            )

        if self.facts().get("data", data) != data:
            raise UserError(
                f"The store {recipe.data.store}{_or(recipe.data.split)} has changed since {self.path} was begun; "
                "choose another workdir, or bring the old one back."
            )

    @contextlib.contextmanager
    def alone(self, warn: Callable[[str], None], wait: bool = False) -> Iterator[None]:
        """The folder for this process alone; another is refused with the name of this one, or waits for it.

        What a process wrote that was killed is replaced.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "lock").open("a+")
        except OSError as error:
            raise UserError(f"Workdir {self.path} cannot be written ({error.strerror}); choose another.") from error
        with file:
            if not take_or_warn(file, warn):
                file.seek(0)
                who = f"Workdir {self.path} is in use by {file.read().strip() or 'another process'}"
                if not wait:
                    raise UserError(f"{who}; wait for it, stop it, or choose another workdir.")
                warn(f"{who}, which is waited for.")
                take_or_warn(file, warn, wait=True)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()} since {now()}\n")
            file.flush()
            clear_abandoned(self.path)
            yield
            file.truncate(0)

    def describe(self, **values: Any) -> None:
        """Add to run.json."""
        config.write_json({**self.facts(), **values}, self.path / "run.json")

    def facts(self) -> dict[str, Any]:
        """What run.json says; nothing before the first step."""
        path = self.path / "run.json"
        return config.read_json(path) if path.exists() else {}

    @property
    def has_step(self) -> bool:
        """Whether a step is saved: from then on the run goes on from that, and what it began with may be gone."""
        return any(path.name.isdigit() for path in self.checkpoints.glob("*"))

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return self.facts().get("status") == "finished"

    def seen(self) -> Seen:
        """Subjects that this run or one it started from was trained on."""
        try:
            return Seen.from_json(config.read_json(self.path / SEEN))
        except (UserError, ValueError) as error:
            raise UserError(
                f"{self.path / SEEN} cannot be read, and without it nobody knows which subjects the run has seen; "
                "bring it back, or train again."
            ) from error

    def add_seen(self, seen: Seen) -> Seen:
        """Note subjects that are trained on, beside those that are known already; all of them."""
        begun = self.facts() or (self.path / SEEN).exists()
        everyone = (self.seen() if begun else NOBODY) | seen
        config.write_json(everyone.to_json(), self.path / SEEN)
        return everyone

    def add_pictures(self, pictures: Mapping[str, np.ndarray]) -> None:
        """Add to the pictures that a report shows, in the place of those of the same names.

        They are read and written again: whoever is not `alone` may lose what another adds meanwhile.
        """
        path, known = self.path / "pictures.npz", {}
        if path.exists():
            with np.load(path, allow_pickle=False) as saved:
                known = dict(saved)
        self.write_arrays("pictures.npz", {**known, **pictures})

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> Path:
        """Write an .npz file, beside and renamed."""
        path = self.path / name
        with beside(path) as unfinished:
            np.savez_compressed(unfinished, allow_pickle=False, **arrays)
        return path


def existing(path: str | Path) -> Workdir:
    """The workdir of a run that has begun."""
    workdir = Workdir(Path(path))
    if not (workdir.path / "recipe.json").is_file():
        raise UserError(f"{path} is no run folder (it has no recipe.json); name a --workdir of an earlier run.")
    return workdir


def provenance() -> dict[str, Any]:
    """Which code, versions and hardware a run is made with."""
    devices = jax.devices()
    return {
        "commit": commit(),
        "jaxssl": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": devices[0].device_kind if devices[0].platform != "cpu" else f"cpu ({os.cpu_count()} cores)",
        "devices": len(devices),
    }


def commit() -> str:
    """The commit of the source checkout, marked when files differ from it; the version without a checkout or git."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists() or not shutil.which("git"):
        return f"release {__version__}"
    asked = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        ["git", "--no-optional-locks", "-C", str(root), "describe", "--always", "--dirty"],  # noqa: S607 - the user's own git
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or f"release {__version__}"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _or(split: str | None) -> str:
    return f", or the split {split}," if split else ""


def _and_more(items: Sequence[Any]) -> str:
    return f", and {len(items) - 1} more" if len(items) > 1 else ""
