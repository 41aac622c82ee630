"""The files of a folder, and of the folders in it."""

import os
from pathlib import Path

from jaxssl.data.formats import is_image
from jaxssl.errors import UserError


def find(source: Path) -> tuple[list[Path], list[Path]]:
    """The images of a folder, sorted, and its other files; a file stands for itself.

    Links are followed; a folder to which several paths lead is entered once, so that loops of links end.
    """
    if source.is_file():
        return [source], []
    if not source.is_dir():
        raise UserError(f"{source} is neither a folder nor a file; name a store, a folder of images or an image.")
    files, seen = [], set()

    def keep(error: OSError) -> None:
        """A folder that cannot be listed stands among the images: reading it says why, as of a file."""
        files.append(error.filename)

    for here, folders, names in os.walk(source, onerror=keep, followlinks=True):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        files += [os.path.join(here, name) for name in names]
    images, others = [], []
    for path in sorted(map(Path, files)):
        (images if is_image(path) else others).append(path)
    return images, others
