"""Write one page for each module of ``mir21_apoptosis``, from the files of the model.

A page has the species of the module, the reactions that change them, with their rates,
and the numbers in these rates, with value, unit, status and source.
"""

import re
from pathlib import Path

from mir21sim import load
from mir21sim.compiler.model import CompiledModel
from mir21sim.model.expressions import symbols, text
from mir21sim.model.network import Network, Reaction

MODEL = "mir21_apoptosis"


def write(folder: Path) -> None:
    """Write the pages into ``folder``; a page whose text is the same stays as it is."""
    model = load(MODEL, backend="numpy")
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for module, members in model.info.modules.items():
        names.append(_file_name(module))
        write_page(folder / f"{names[-1]}.md", _page(model, module, members))
    write_page(folder / "index.md", _index(names))
    for old in folder.glob("*.md"):
        if old.stem not in {*names, "index"}:
            old.unlink()


def write_page(path: Path, content: str) -> None:
    """Write a page, unless it has this text already."""
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        path.write_text(content, encoding="utf-8")


def _file_name(module: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", module.lower()).strip("_")


def _index(names: list[str]) -> str:
    entries = "\n".join(names)
    return (
        "# Modules, with their equations and sources\n\n"
        f"Written from `models/{MODEL}.ant` and `models/{MODEL}.parameters.tsv`;\n"
        "numbers are those of the model file, before the changes of a cell line.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"
    )


def _page(model: CompiledModel, module: str, members: tuple[str, ...]) -> str:
    network = model.network
    reactions = [r for r in network.reactions if _changes(r) & set(members)]
    used = {s for r in reactions for s in symbols(r.rate)}
    rules = [r for r in network.rules if r.variable in used | set(members)]
    used |= {s for rule in rules for s in symbols(rule.math)}
    parts = [
        f"# {module}",
        "## Species",
        _species(network, members),
        "## Reactions",
        _table(
            ("reaction", "change", "rate"),
            [
                (_named(r.id, r.name), _equation(r), f"`{text(r.rate)}`")
                for r in reactions
            ],
        ),
    ]
    if rules:
        rows = [(f"`{r.variable}`", f"`{text(r.math)}`") for r in rules]
        parts += ["## Rules", _table(("variable", "formula"), rows)]
    parts += ["## Numbers", _numbers(model, used | set(members))]
    return "\n\n".join(parts) + "\n"


def _changes(reaction: Reaction) -> set[str]:
    return {s for s, _ in (*reaction.reactants, *reaction.products)}


def _species(network: Network, members: tuple[str, ...]) -> str:
    known = {s.id: s for s in network.species}
    rows = [
        (f"`{name}`", known[name].name, known[name].compartment)
        for name in members
        if name in known
    ]
    return _table(("id", "name", "compartment"), rows)


def _named(key: str, name: str) -> str:
    return f"`{key}` {name}".strip()


def _equation(reaction: Reaction) -> str:
    arrow = "⇌" if reaction.reversible else "→"
    return f"{_side(reaction.reactants)} {arrow} {_side(reaction.products)}"


def _side(pairs: tuple) -> str:
    def one(name: str, count: object) -> str:
        if count == 1.0:
            return f"`{name}`"
        shown = f"{count:g}" if isinstance(count, float) else text(count)
        return f"{shown} `{name}`"

    return " + ".join(one(*pair) for pair in pairs) or "∅"


def _numbers(model: CompiledModel, used: set[str]) -> str:
    table = model.parameters
    rows = [
        (
            f"`{key}`",
            f"{row['value']:g} {'' if row['unit'] == 'dimensionless' else row['unit']}",
            row["status"],
            row["source"],
        )
        for key, row in table.iterrows()
        if key in used
    ]
    return _table(("number", "value", "status", "source"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(content: str) -> str:
    return str(content).replace("|", "\\|").replace("\n", " ")
