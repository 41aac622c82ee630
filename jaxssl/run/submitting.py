"""Jobs of a cluster that share a sweep, by submitit."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from jaxssl.errors import UserError

Cluster = Literal["slurm", "local"]
"""A cluster's queue, or processes of this machine."""
DAY = 24 * 60
"""Minutes that a job may take unless it is told otherwise; submitit's own are five."""


def submit_jobs(
    function: Callable[..., Any],
    calls: Sequence[Mapping[str, Any]],
    folder: Path,
    cluster: Cluster,
    settings: Sequence[str],
    console: Console,
) -> None:
    """Hand over one job a call, on SLURM as one array; their logs go into the folder."""
    if not calls:
        raise UserError("--jobs is the number of jobs that share the points, and at least 1.")
    parameters = _parameters(settings)
    try:
        import submitit  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "--submit wants submitit: pip install 'jaxssl[slurm]'; or start the jobs yourself, each with --only i/n."
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(**parameters)
        with executor.batch():
            handed = [executor.submit(function, **call) for call in calls]
    except (RuntimeError, ValueError, NameError, AssertionError) as error:  # what submitit refuses by
        sentence = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"The jobs could not be handed to {cluster} ({sentence}); see --slurm.") from error
    console.print(f"Jobs {', '.join(str(job.job_id) for job in handed)}; their logs are in {folder}.")


def _parameters(settings: Sequence[str]) -> dict[str, Any]:
    """`time=60` and the like, in submitit's words."""
    parameters: dict[str, Any] = {"name": "jaxssl", "timeout_min": DAY}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (name and equals and value):
            raise UserError(f"--slurm {setting} is no NAME=VALUE, such as time=240 or partition=gpu.")
        parameters[f"slurm_{name}"] = int(value) if value.isdecimal() else value
    return parameters
