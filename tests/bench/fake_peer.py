"""A side without torch: it says what it is told to say, and prints what is no answer."""

from pathlib import Path

import numpy as np

from jaxssl.bench.serve import Side, Unable, serve


def make(options):
    if options.get("unable"):
        raise Unable("it has no hands")
    print("a library says hello")
    held = []

    def run(count):
        held.append(np.ones(options.get("bytes", 0), np.uint8))
        for _ in range(count):
            sum(range(10_000))

    def check(folder):
        np.ones(4 * options.get("bytes", 0), np.uint8)
        return Path(folder).name

    return Side(run, check, facts={"platform": "cpu", "threads": options.get("threads", 1)})


if __name__ == "__main__":
    serve(make)
