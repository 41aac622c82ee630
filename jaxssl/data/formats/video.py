"""AVI and MP4, frame by frame; grey where the file's own format is, and red, green and blue otherwise.

More than 8 bits become 16, which hold them all.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from jaxssl.data.formats.image import Image, Unreadable, check_size

INSTALL = "it is a video: pip install 'jaxssl[video]'"
AVI, MP4 = "avi", "mp4"
KINDS = {(True, False): "gray", (True, True): "gray16le", (False, False): "rgb24", (False, True): "rgb48le"}
"""By whether frames are grey, and deeper than 8 bits."""
BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
"""With which an MP4 file may begin."""


def read(path: Path) -> Iterator[Image]:
    """The frames of the first video stream, at the times at which they are shown."""
    try:
        import av
    except ImportError as error:
        raise Unreadable(INSTALL, passing=True) from error
    # A given format keeps FFmpeg from others, some of which name further files to be opened.
    with path.open("rb") as file, av.open(file, "r", format=_format(file)) as container:
        if not container.streams.video:
            raise Unreadable("it is a video without pictures")
        stream, start = container.streams.video[0], None
        check_size(stream.height, stream.width)
        for number, frame in enumerate(container.decode(stream)):
            check_size(frame.height, frame.width)
            grey, deep = frame.format.name.startswith("gray"), frame.format.components[0].bits > 8
            pixels = frame.to_ndarray(format=KINDS[grey, deep])
            start = frame.time if start is None else start
            time = None if frame.time is None else 1000 * (frame.time - start)
            yield Image(pixels.reshape(*pixels.shape[:2], -1), None, frame=number, time=time)


def _format(file: BinaryIO) -> str:
    """What it is by its first bytes, whatever it is called."""
    start = file.read(12)
    file.seek(0)
    if start[:4] == b"RIFF" and start[8:] == b"AVI ":
        return AVI
    if start[4:8] in BOXES:
        return MP4
    raise Unreadable("it is no AVI or MP4 file")
