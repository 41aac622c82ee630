"""The page: sections filled into templates that escape what run folders say, in one file that needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from jaxssl.errors import UserError
from jaxssl.files import beside
from jaxssl.reporting import arms, charts, gains, galleries, pictures, read, tables, words
from jaxssl.reporting.gains import Tables
from jaxssl.reporting.read import Run
from jaxssl.version import __version__

LIMIT = 5_000_000
"""Bytes that a page must stay under."""

SAMPLES = (6, 4, 2, 1, 0)
"""Pictures that a figure shows: the first number with which the page fits."""

DOTS = 5_000
"""Dots of all embedding maps of one colouring together."""


@dataclass(frozen=True)
class OfStudy:
    """What a study wants to stand on its page."""

    name: str
    question: str
    tables: Tables
    again: str
    """The command that writes the page anew."""


OF_NONE = OfStudy("", "", {}, "")


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write one HTML page about the run folders to `out` (or to `out`/report.html) and return where it stands.

    With many runs fewer pictures are shown of each, so that the page stays under 5 MB; it says so.
    """
    found = read.read_runs([Path(folder) for folder in runs])
    return write_page(found, arms.arms(found), out)


def write_page(runs: Sequence[Run], found: Sequence[arms.Arm], out: Path, study: OfStudy = OF_NONE) -> Path:
    """The same of runs that were read, and of their arms, with what a study wants of it."""
    target = Path(out) / "report.html" if Path(out).is_dir() else Path(out)
    text = _fitting(runs, found, study)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside(target) as unfinished:
            unfinished.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"The report cannot be written to {target}: {error.strerror}; name another file.") from error
    return target


def _fitting(runs: Sequence[Run], found: Sequence[arms.Arm], study: OfStudy) -> str:
    """The page with as many pictures as fit."""
    context = _figures(runs, found, study)
    text = ""
    for samples in SAMPLES:
        text = _render(context | _pictures(runs, samples))
        if len(text.encode("utf-8", errors="replace")) < LIMIT:
            break
    return text


def _figures(runs: Sequence[Run], found: Sequence[arms.Arm], study: OfStudy) -> dict[str, Any]:
    """Everything but the pictures."""
    segmented, classified = ([arm for arm in found if arm.task.kind == kind] for kind in read.KINDS)
    overlaps = [(arm, tables.overlap(arm)) for arm in segmented]
    look = charts.styles(runs)
    origins = {run.label: arms.origin(run, runs) for run in runs}
    return {
        "study": study,
        "runs": runs,
        "arms": found,
        "segmented": overlaps,
        "classified": [(arm, tables.measures(arm), tables.counted(arm)) for arm in classified],
        "shortcuts": arms.by_input(classified),
        "styles": list(arms.STYLES.values()),
        "agreements": tables.agreements(segmented),
        "gains": gains.gains(runs, found, look, study.tables),
        "look": look,
        "origins": origins,
        "described": {run.label: words.described(run, origins[run.label]) for run in runs},
        "moments": list(dict.fromkeys(moment for _, overlap in overlaps for moment in overlap.by_moment)),
        "classes": list(dict.fromkeys(name for arm in segmented for name in arm.task.classes)),
        "headline": words.headline(runs, found),
        "outcome": words.outcome(found),
        "data": words.data_names(runs),
        "warnings": words.warnings(found),
        "strips": charts.strips(found, look),
        "profiles": charts.profiles(found, look),
        "calibrations": charts.calibrations(found, look),
        "curves": charts.curves(runs, look),
        "described_features": [
            (run, run.probes[0].representation) for run in runs if run.probes and run.probes[0].representation
        ],
        "maps": {run.label: galleries.embedding_map(run, min(600, DOTS // len(runs))) for run in runs},
        "throughput": charts.throughput(runs, look),
        "timed": [run for run in runs if run.speed],
        "differing": arms.differing_keys(runs),
        "nan": float("nan"),
        "methods": words.listed(run.facts.method for run in runs),
        "again": study.again or words.again(runs),
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "version": __version__,
    }


def _pictures(runs: Sequence[Run], samples: int) -> dict[str, Any]:
    return {
        "samples": samples,
        "fewer": samples < SAMPLES[0],
        "segmentations": galleries.segmentations(runs, samples),
        "beats": galleries.beats(runs, samples),
        "neighbours": galleries.neighbours(runs, samples),
        "explained": galleries.explained(runs, samples),
        "views": {run.label: pictures.columns(run.pictures, "views/", samples) for run in runs},
        "reconstructions": {run.label: pictures.columns(run.pictures, "reconstruction/", samples) for run in runs},
    }


def _render(context: dict[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("jaxssl.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "fixed": words.fixed,
        "signed": words.signed,
        "interval": words.interval,
        "chance": words.chance,
        "thousands": words.thousands,
        "millions": words.millions,
        "duration": words.duration,
        "commit": words.commit,
        "rerun": words.rerun,
        "rerun_caution": words.rerun_caution,
        "median": _median,
        "shown": arms.shown,
        "frozen": arms.frozen,
    }
    environment.tests["synthetic"] = words.is_synthetic
    return environment.get_template("page.html").render(context)


def _median(series: read.Series, name: str) -> float:
    values = series[name][1] if name in series else np.array([])
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")
