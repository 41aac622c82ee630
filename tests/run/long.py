"""A long run of tiny steps that is looked at on its way: `long.py WORDS...` prints a line of JSON every 500."""

import json
import os
import sys
import time
from pathlib import Path

from jaxssl.cli import main
from jaxssl.run import assembly

EVERY = 500
steps, workdir = assembly.run_steps, Path(sys.argv[sys.argv.index("--workdir") + 1])


def look(tick):
    """Memory in MB, files, checkpoints, and seconds of the processor, which others on the machine hardly lengthen."""
    if tick.step % EVERY == 0:
        checkpoints = workdir / "checkpoints"
        files = [path for path in workdir.rglob("*") if path.is_file() and checkpoints not in path.parents]
        seen = {
            "step": tick.step,
            "memory": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
            "files": len(files),
            "checkpoints": len([*checkpoints.iterdir()]),
            "seconds": time.process_time(),
        }
        print(json.dumps(seen), flush=True)


assembly.run_steps = lambda *given: steps(*given[:-1], [*given[-1], look])
sys.exit(main(sys.argv[1:]))
