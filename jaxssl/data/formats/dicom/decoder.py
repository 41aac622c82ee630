"""The other end of `apart`: a script that decodes files for a process that a damaged one must not end.

It imports nothing of jaxssl, so that it starts quickly. A line of JSON comes in for each file; a line of JSON goes out
for each frame, followed by its bytes, then one that says how the file ended.
"""

import json
import os
import sys
import warnings

from pydicom.pixels import iter_pixels


def serve() -> None:
    """Answer until nobody asks any more."""
    # What decoders print goes nowhere, least of all between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    warnings.simplefilter("ignore")

    def answer(**said: object) -> None:
        answers.write(json.dumps(said).encode() + b"\n")

    for line in sys.stdin.buffer:
        path, frames, plugin = json.loads(line)
        try:
            # Asked for by number, or pydicom cannot mend the sign of pixels: it would write into what it may only read.
            for pixels in iter_pixels(os.fsdecode(bytes.fromhex(path)), indices=range(frames), decoding_plugin=plugin):
                answer(shape=pixels.shape, dtype=pixels.dtype.str)
                answers.write(pixels.tobytes())
                answers.flush()
            answer(failed="")
        except Exception as error:
            answer(failed=f"{type(error).__name__}: {error}")
        answers.flush()


if __name__ == "__main__":
    serve()
