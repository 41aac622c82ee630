"""Which subjects something was learnt from, told from those that it is tested on whatever a store calls them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxssl.errors import UserError


@dataclass(frozen=True)
class Seen:
    """By the id of the key that gave subjects their names, and by name: the hashes of all images of that subject.

    A name says who somebody is among those that one key has named; across keys the hashes do.
    """

    subjects: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.subjects.values()))

    def __or__(self, other: "Seen") -> "Seen":
        """Those of either; of a subject that both know, the images of both."""
        joined = {key: dict(names) for key, names in self.subjects.items()}
        for key, names in other.subjects.items():
            own = joined.setdefault(key, {})
            for name, images in names.items():
                own[name] = own.get(name, frozenset()) | images
        return Seen(joined)

    def images(self) -> set[str]:
        """The hashes of all images of everybody."""
        return {image for names in self.subjects.values() for images in names.values() for image in images}

    def to_json(self) -> dict[str, dict[str, list[str]]]:
        """As a file has it."""
        return {
            key: {name: sorted(images) for name, images in sorted(names.items())}
            for key, names in sorted(self.subjects.items())
        }

    @classmethod
    def from_json(cls, content: Any) -> "Seen":
        """The inverse of `to_json`; a ValueError where the content is nothing of the kind."""
        try:
            return cls(
                {
                    str(key): {str(name): frozenset(map(str, images)) for name, images in names.items()}
                    for key, names in content.items()
                }
            )
        except (AttributeError, TypeError) as error:
            raise ValueError("no subjects by key and name") from error


NOBODY = Seen()


def refuse_leak(seen: Seen, test: Seen, by: str) -> None:
    """Nobody may be tested on who was seen before; nor anybody of whom that cannot be known."""
    if leaked := _leaked(seen, test):
        more = f", and {len(leaked) - 3} more" if len(leaked) > 3 else ""
        raise UserError(
            f"{len(leaked)} test subjects were already seen by {by} ({', '.join(leaked[:3])}{more}); "
            "give both runs one --data.split, or the same --data.fractions and --data.split-seed, or use other data; "
            "`jaxssl data check` tells whom a store has twice."
        )
    for key, names in test.subjects.items():
        others = [own for other, theirs in seen.subjects.items() if other != key for own in theirs.values()]
        if names and others and not (all(names.values()) and all(others)):
            raise UserError(
                f"It cannot be proved that no test subject was seen by {by}: the two were named with different keys, "
                "and images to compare are not known of all; ingest both with one key file."
            )


def _leaked(seen: Seen, test: Seen) -> list[str]:
    known = seen.images()
    return sorted(
        name
        for key, names in test.subjects.items()
        for name, images in names.items()
        if name in seen.subjects.get(key, {}) or images & known
    )
