"""Names short enough for a picture that still tell apart what they stand for."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from dit_clean.audit.text import cut, cut_end, no_formula, visible_spaces


def short_names(values: Sequence[Any], length: int) -> list[str]:
    """Return a name for each value, different ones for different values.

    Names that would be alike, cut in their middle, show the place where they begin to
    differ; if that does not tell them apart, they are numbered.

    Parameters
    ----------
    values : sequence of str or object
        What is shown side by side; values that come twice share their name.
    length : int
        Characters of a name, its number not counted.

    Examples
    --------
    >>> names = [f"size of the {color} circle (in mm)" for color in ("red", "blue")]
    >>> short_names([*names, "size"], 16)
    ['size…red circl…', 'size…blue circ…', 'size']
    """
    texts = [str(value) for value in values]
    lines = {text: str(visible_spaces(text)) for text in texts}
    names = {text: cut(line, length) for text, line in lines.items()}
    for group in _alike(names):
        start = _n_common([lines[text] for text in group])
        names |= {text: _cut_around(lines[text], start, length) for text in group}
    for group in _alike(names):
        names |= {text: f"{texts.index(text) + 1}. {names[text]}" for text in group}
    return [no_formula(names[text]) for text in texts]


def _alike(names: dict[str, str]) -> list[list[str]]:
    """Return the texts that share a name, one list for each such name."""
    groups: dict[str, list[str]] = {}
    for text, name in names.items():
        groups.setdefault(name, []).append(text)
    return [group for group in groups.values() if len(group) > 1]


def _n_common(texts: list[str]) -> int:
    """Return how many characters at their beginning all texts share."""
    same = takewhile(lambda found: len(set(found)) == 1, zip(*texts, strict=False))
    return len(list(same))


def _cut_around(text: str, place: int, length: int) -> str:
    """Return the beginning of a text, and what stands at a place behind it."""
    head = length // 3
    room = length - head - 1
    begin = max(text.rfind(" ", 0, place) + 1, place - room // 2)
    if begin <= head:
        return cut_end(text, length)
    return f"{text[:head].rstrip()}…{cut_end(text[begin:], room)}"
