"""What stands before every name in a file: `module.`, `teacher.backbone.`, `model.encoder.`; found, not asked for."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable

from jaxssl.errors import UserError

PREFERRED = ("teacher", "ema", "encoder_q", "base_encoder", "online", "student")
"""Of two networks of one kind: what the method itself hands on, a teacher before its student, a query before a key.
They are words of a prefix, between dots or underscores."""


def common_prefix(given: Iterable[str], known: Collection[str], canonical: Callable[[str], str]) -> str:
    """The prefix with which most names, made canonical without it, are known ones; empty where none is."""
    hits = Counter(prefix for name in given for prefix, rest in cuts(name) if canonical(rest) in known)
    most = max(hits.values(), default=0)
    # A student may have a token that its teacher has not: nearly as many are as good.
    best = sorted(prefix for prefix, count in hits.items() if count >= 0.9 * most)
    if len(best) == 1:
        return best[0]
    if 2 * most < len(known):  # another network, which is for others to say
        return ""
    for word in PREFERRED:
        if chosen := [prefix for prefix in best if re.search(rf"(^|[._]){word}[._]", prefix)]:
            return chosen[0]
    raise UserError(
        f"The file holds {len(best)} networks of one kind, under {' and '.join(map(repr, best))}: "
        "write a file that holds one of them."
    )


def cuts(name: str) -> Iterable[tuple[str, str]]:
    """Every way to part a name at a dot, or before it begins."""
    words = name.split(".")
    for place in range(len(words)):
        yield "".join(f"{word}." for word in words[:place]), ".".join(words[place:])
