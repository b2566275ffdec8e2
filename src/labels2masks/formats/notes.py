"""What was left out and why: of a damaged or foreign file that was read, of a data set that a format can not hold."""

from __future__ import annotations


class Notes:
    """Sentences, each with how often it was true and where first; so a broken file of a million lines stays short."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, sentence: str, where: str, times: int = 1) -> None:
        """sentence: without names and numbers that differ from case to case; they belong into `where`."""
        count, first = self._found.get(sentence, (0, where))
        self._found[sentence] = count + times, first

    def lines(self) -> tuple[str, ...]:
        """The sentences in the order in which they were first true: "a box without area is left out: 3 times, first in
        photo 'a'"."""
        return tuple(
            f"{sentence}: {f'{count} times, first' if count > 1 else 'once,'} in {where}"
            for sentence, (count, where) in self._found.items()
        )
