"""Commands as documents show them."""

import shlex

PLACES = ("--out", "--cache")
"""Options that say where files are. No number depends on them, and their values are paths of one
machine.
"""


def without_places(command: str) -> str:
    """A command line without the options that say where files are; as it is, if it is no valid
    command line.
    """
    try:
        words = iter(shlex.split(command))
    except ValueError:
        return command
    kept: list[str] = []
    for word in words:
        if word in PLACES:
            next(words, None)
        elif word.split("=")[0] not in PLACES:
            kept.append(word)
    return shlex.join(kept)
