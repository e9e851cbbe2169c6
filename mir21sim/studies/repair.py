"""The part of a study file that can be read although other entries do not fit.

Entries with a mistake are taken out, or replaced where the study needs one, so that the
rest is checked too, and one check finds all mistakes. Nothing is ever run from it.
"""

import copy
from collections.abc import Sequence
from typing import Any

from mir21sim.studies.mistakes import Place
from mir21sim.studies.schema import ASSAYS

#: A time behind all others, h, where no time of the file can be read.
LAST_TIME = 1e6


class Repaired:
    """The tables of a study file without the entries that have mistakes.

    Attributes
    ----------
    table : the tables
    doubtful : places in the file whose entries are gone, replaced, or read together
        with such a one
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = copy.deepcopy(table)
        self.doubtful: set[Place] = set()
        self._gone: dict[Place, list[int]] = {}
        self._renamed: dict[Place, str] = {}

    def original(self, place: Sequence[str | int]) -> Place:
        """Return the place in the file of a place in these tables."""
        found: Place = ()
        for key in place:
            there = self._renamed.get((*found, key), key)
            if isinstance(there, int):
                for gone in sorted(self._gone.get(found, ())):
                    there += gone <= there
            found = (*found, there)
        return found

    def doubt(self, place: Place) -> None:
        """Note that nothing is known of an entry of the file."""
        self.doubtful.add(place)
        if place[:1] == ("samples",) and place[2:3] == ("doses",):
            self.doubtful.add((*place[:2], "over"))  # it names one of them

    def rename(self, place: Place, name: str) -> bool:
        """Give an entry another key; False where the table has that key too."""
        part: Any = self.table
        for key in place[:-1]:
            part = part[key]
        there = self.original(place)
        if name in part:
            self.doubt((*there[:-1], name))
            return False
        part[name] = part.pop(place[-1])
        self._renamed[*there[:-1], name] = str(place[-1])
        return True

    def repair(self, places: Sequence[Place]) -> None:
        """Take the entries at some places out, or replace them."""
        for place in places:
            self.doubt(self.original(place))
        in_lists = [place for place in places if place and isinstance(place[-1], int)]
        for place in sorted(set(places) - set(in_lists), key=len, reverse=True):
            self._replace(place)
        behind_first = sorted(
            set(in_lists), key=lambda p: (len(p), p[-1]), reverse=True
        )
        originals = {place: self.original(place) for place in behind_first}
        for place in behind_first:
            if place[:-1] in (("samples",), ("assays",)):
                self._replace(place)
            elif self._delete(place):
                *outer, index = originals[place]
                assert isinstance(index, int)
                self._gone.setdefault(tuple(outer), []).append(index)

    def _replace(self, place: Place) -> None:
        """Put a stand-in at a place that the study needs; delete any other."""
        match place:
            case ("times",):
                self.table["times"] = [LAST_TIME]
            case ("samples",):
                self.table["samples"] = [{"name": "entry 1"}]
            case ("assays",):
                self.table["assays"] = [{"kind": next(iter(ASSAYS))}]
            case ("samples", int(k)):
                self.table["samples"][k] = {"name": f"entry {k + 1}"}
            case ("samples", int(k), "name"):
                self.table["samples"][k]["name"] = f"entry {k + 1}"
            case ("assays", int(k)) | ("assays", int(k), "kind"):
                kind = next(iter(ASSAYS))
                self.table["assays"][k] = {"kind": kind, "name": f"entry {k + 1}"}
            case _:
                self._delete(place)

    def _delete(self, place: Place) -> bool:
        """Delete an entry; False where it is gone with one that held it."""
        part: Any = self.table
        try:
            for key in place[:-1]:
                part = part[key]
            del part[place[-1]]
        except (KeyError, IndexError, TypeError):
            return False
        return True
