"""Names that people type → ids, by one table of symbols and their other names.

The table is ``aliases.toml``: symbols and aliases of HGNC, names on blots and of drugs.
Words about the form of a protein stand beside a name: ``cleaved PARP``, ``p-Akt``.
"""

import re
import tomllib
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mir21sim.errors import ModelWarning, as_symbol, plain

_TOKEN = re.compile(r"[^\W_]+")
_GLUED = 5
"""Letters of a word of form that may stand before any name without a space."""


@dataclass(frozen=True, slots=True)
class _Table:
    """The table of aliases, by plain names.

    Attributes
    ----------
    forms : form to patterns of ids
    words : word about a form to the form
    symbols : symbol to all its names, itself first
    keys : plain name to (form, symbol)
    remarks : plain name to (id that a model must have, sentence)
    """

    forms: Mapping[str, tuple[str, ...]]
    words: Mapping[str, str]
    symbols: Mapping[str, tuple[str, ...]]
    keys: Mapping[str, tuple[str, str]]
    remarks: Mapping[str, tuple[str, str]]


@cache
def _table() -> _Table:
    path = Path(__file__).with_name("aliases.toml")
    given = tomllib.loads(path.read_text(encoding="utf-8"))
    words = {form: form for form in given["forms"] if form}
    for form, others in given["words"].items():
        words |= dict.fromkeys(others, form)
    symbols: dict[str, tuple[str, ...]] = {}
    keys: dict[str, tuple[str, str]] = {}
    for key, others in given["names"].items():
        word, _, rest = key.rpartition(" ")
        form, symbol = words.get(word, ""), rest
        names = (symbol, *others) if not form else (f"{form} {symbol}", *others)
        if not form:
            symbols[symbol] = names
        keys |= dict.fromkeys(map(plain, names), (form, symbol))
    return _Table(
        {form: tuple(patterns) for form, patterns in given["forms"].items()},
        words,
        symbols,
        keys,
        {
            plain(name): (key, remark["text"])
            for key, remark in given["remarks"].items()
            for name in remark["names"]
        },
    )


class Names:
    """The ids of a model or of a result, found by names as people type them.

    Parameters
    ----------
    ids : the names that exist
    labels : other names that mean only one id each

    Examples
    --------
    >>> names = Names(["PARP1", "PARP_cleaved_fraction", "pAKT", "CYCS"])
    >>> names.find("cleaved PARP"), names.find("phospho-Akt"), names.find("cyt. c")
    ('PARP_cleaved_fraction', 'pAKT', 'CYCS')
    """

    def __init__(
        self, ids: Iterable[str], labels: Mapping[str, str] | None = None
    ) -> None:
        self.ids = dict.fromkeys(ids)
        found: dict[str, set[str]] = {}
        for name in self.ids:
            if name.startswith("["):
                continue  # a concentration is another quantity than its amount
            found.setdefault(plain(name), set()).add(name)
        for text, name in (labels or {}).items():
            found.setdefault(plain(text), {name})
        self.plain = {key: min(ids) for key, ids in found.items() if len(ids) == 1}

    def find(self, name: str, among: Container[str] | None = None) -> str:
        """Return the id that a name stands for; an unknown name as it is.

        Parameters
        ----------
        among : ids that may be meant here, for a name of several; others only where
            none of these is

        Warns
        -----
        ModelWarning
            Where the name says more than the quantity does.
        """
        if name in self.ids:
            return name
        if name.startswith("[") and name.endswith("]"):
            return f"[{self.find(name[1:-1], among)}]"
        meant = list(dict.fromkeys(self._meant(name)))
        found = [x for x in meant if among is None or x in among] or meant
        if not found:
            return name
        needed, text = _table().remarks.get(plain(name), ("", ""))
        if needed in self.ids:
            warnings.warn(f"`{name}` {text}", ModelWarning, stacklevel=2)
        return found[0]

    def _meant(self, name: str) -> Iterator[str]:
        """Yield the ids that a name may stand for, the likeliest first."""
        for key in (plain(name), as_symbol(name)):
            if key in self.plain:
                yield self.plain[key]
        form, symbols = _form_and_symbols(name)
        for pattern in _table().forms[form]:
            for symbol in symbols:
                key = plain(pattern.format(symbol))
                if key in self.plain:
                    yield self.plain[key]


def _form_and_symbols(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the form that a name speaks of, and the names of what has it."""
    table = _table()
    known = table.keys.get(plain(name)) or table.keys.get(as_symbol(name))
    if known is None:
        form, base = _without_words(name)
        inner = table.keys.get(plain(base)) or table.keys.get(as_symbol(base))
        if inner is None:
            return form, (base, as_symbol(base))
        known = (form or inner[0], inner[1])
    form, symbol = known
    return form, table.symbols.get(symbol, (symbol,))


def _without_words(name: str) -> tuple[str, str]:
    """Return the form that words about a name state, and the name without them.

    Words of two forms, or no name beside them, leave the name as it is.
    """
    words, keys = _table().words, _table().keys
    tokens = _TOKEN.findall(name.casefold())
    for word in words:
        if not tokens or tokens[0] in words:
            break
        rest = tokens[0].removeprefix(word)
        known = plain(" ".join([rest, *tokens[1:]])) in keys
        if rest and rest != tokens[0] and (known or len(word) >= _GLUED):
            tokens = [word, rest, *tokens[1:]]
    forms = set()
    while tokens and tokens[0] in words:
        forms.add(words[tokens.pop(0)])
    while tokens and tokens[-1] in words:
        forms.add(words[tokens.pop()])
    if not tokens or len(forms) != 1:
        return "", name
    return forms.pop(), " ".join(tokens)
