"""The nearest known name to an unknown one, for sentences about typing errors."""

import difflib
from collections.abc import Callable, Iterable

SHORT = 3  # letters of a word of which half may be wrong


def nearest(word: str, known: Iterable[str], spell: Callable[[str], str] = str) -> str:
    """Return the end of a sentence about an unknown name: the nearest known one, or all where they are few."""
    known = [name for name in known if name != word]  # a parent's option that its child leaves no choice of
    same = [name for name in known if name.lower() == word.lower()]
    near = same or difflib.get_close_matches(word, known, n=1, cutoff=0.6 if len(word) > SHORT else 0.5)
    if near:
        return f"; did you mean {spell(near[0])}"
    return f"; there are {', '.join(known)}" if 0 < len(known) < 40 else ""
