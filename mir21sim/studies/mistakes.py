"""The mistakes of a study file, each with its line."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mir21sim.errors import InputError, ModelError, UnknownNameError
from mir21sim.model import toml_lines

Place = toml_lines.TomlPath


class StudyError(ModelError):
    """A study file with mistakes.

    Attributes
    ----------
    mistakes : a sentence each, in the order of their lines
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        more = len(mistakes) - 1
        tail = f" ({more} more mistake{'s' if more > 1 else ''} in the file)"
        super().__init__(mistakes[0] + (tail if more else ""))


class Mistakes:
    """The mistakes found so far in a study file.

    Attributes
    ----------
    text, name : of the file
    places : the keys that lead to each mistake
    doubtful : places of which nothing is known, as an entry there does not fit. Another
        mistake there, or of a part that holds such a place, could be its consequence
        and is not noted
    """

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.places: list[Place] = []
        self.doubtful: set[Place] = set()
        self._sentences: list[str] = []

    def add(self, place: Place, sentence: str) -> None:
        """Note a mistake, unless it could be the consequence of another one."""
        if self.unknown(place):
            return
        self.places.append(place)
        self._sentences.append(sentence)

    def unknown(self, place: Place) -> bool:
        """Whether an entry is doubtful, holds a doubtful one, or is held by one."""
        return any(
            place[: len(there)] == there or there[: len(place)] == place
            for there in self.doubtful
        )

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Note the error of a part of a study, and go on behind it."""
        try:
            yield
        except (InputError, ModelError) as error:
            self.add(within(self.text, self.name, path, error), str(error))

    def stop(self) -> None:
        """Raise all mistakes, where there are any.

        Raises
        ------
        StudyError
            With the mistakes in the order of their lines, each once; without line last.
        """
        found = sorted(
            zip(self.places, self._sentences, strict=True),
            key=lambda item: toml_lines.line_of(self.text, item[0]) or math.inf,
        )
        if found:
            raise StudyError(
                list(
                    dict.fromkeys(
                        f"{toml_lines.place(self.text, self.name, place)}: {sentence}"
                        for place, sentence in found
                    )
                )
            )


@contextmanager
def at(text: str, name: str, *path: str | int) -> Iterator[None]:
    """Put file and line before the errors of a part of a study."""
    try:
        yield
    except (InputError, ModelError) as error:
        place = toml_lines.place(text, name, within(text, name, path, error))
        raise ModelError(f"{place}: {error}") from error


def within(text: str, name: str, path: Place, error: Exception) -> Place:
    """Return the entry below a place that an error is about, as far as it tells.

    That is the entry that is, or holds, the unknown name, or the key that the message
    begins with.
    """
    part: Any = toml_lines.parse(text, name)
    for key in path:
        try:
            part = part[key]
        except (KeyError, IndexError, TypeError):
            return path
    wanted = error.name if isinstance(error, UnknownNameError) else ""
    for below, value in toml_lines.entries(part):
        said = isinstance(value, str) and wanted in re.split(r"[/=\s]", value)
        if wanted and (said or value == wanted or wanted in below[-1:]):
            return (*path, *below)
    opening = re.match(r"`(\w+)`", str(error))
    if opening and isinstance(part, dict) and opening[1] in part:
        return (*path, opening[1])
    return path
