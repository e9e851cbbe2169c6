"""Walk the pages in a fresh folder each: run every cell and every command they show.

The build of the documentation runs the cells; the commands of ``console`` blocks, which
a reader types, are run by this alone: ``python docs/walk.py [PAGE …] [--files DIR]``,
where a folder may hold the files that a page expects from the reader (a model from
BioModels, a PEtab problem). A command whose file or cluster is not there is named and
left out.
The exit code is 1 where a command or cell failed.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(
    r"^```(\{code-cell\} ipython3|console)\n(.*?)^```", re.MULTILINE | re.DOTALL
)
FILE = re.compile(
    r"(?<!\S)[\w/]+\.(?:xml|yaml|csv|toml|ant)(?!\S)|results/\w+(?!\S)|tcp://\S+"
)
"""Names of files in a command, and of a cluster."""


def steps(page: Path) -> Iterator[tuple[str, str]]:
    """Yield ("python" or "shell", text) for each cell and command of a page."""
    for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "console":
            lines = [x for x in body.splitlines() if x.startswith("$ mir21sim ")]
            yield from (("shell", line[2:]) for line in lines)
            continue
        lines = [x for x in body.splitlines() if not x.startswith(":tags:")]
        text = "\n".join(lines).strip()
        if text.startswith("%%bash"):
            yield "shell", text.removeprefix("%%bash")
        elif ".unlink()" not in text:  # the page tidies up behind itself
            yield "python", text


def missing(command: str, folder: Path) -> list[str]:
    """Return the files that a command reads and that are not there."""
    read = re.sub(r"(-o|--plot|study new) \S+", "", command)
    return [name for name in FILE.findall(read) if not (folder / name).exists()]


def walk(page: Path, files: Path | None) -> int:
    """Run a page in a folder of its own; return how many steps failed."""
    failed = 0
    with tempfile.TemporaryDirectory() as made:
        # As deep as pages are, for paths such as ../../tests.
        folder = Path(made) / "docs" / page.parent.name
        folder.mkdir(parents=True)
        for name in ("tests", "models", "examples", "benchmarks"):
            (Path(made) / name).symlink_to(DOCS.parent / name)
        if files:
            shutil.copytree(files, folder, dirs_exist_ok=True)
        program = Path(made) / "bin" / "mir21sim"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mir21sim "$@"\n')
        program.chmod(0o755)
        paths = {
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(DOCS.parent), *sys.path]),
        }
        place = {"metadata": {"path": str(folder)}}
        notebook = NotebookClient(new_notebook(), resources=place, timeout=None)
        with notebook.setup_kernel(env=os.environ | paths):
            for kind, text in steps(page):
                print(f"\n--- {page.stem}: {text.strip()}", flush=True)
                if kind == "shell" and "\n" not in text:
                    absent = missing(text, folder)
                    if absent:
                        print(f"LEFT OUT, not there: {', '.join(absent)}")
                        continue
                shell = "%%bash -e\n" if kind == "shell" else ""
                failed += not runs(notebook, new_code_cell(shell + text))
    return failed


def runs(notebook: NotebookClient, cell: NotebookNode) -> bool:
    """Run a cell and print its texts; return whether it ended well."""
    notebook.nb.cells.append(cell)
    try:
        notebook.execute_cell(cell, len(notebook.nb.cells) - 1)
    except CellExecutionError as error:
        print(error)
        return False
    for output in cell.outputs:  # a stream comes in pieces
        if "text" in output:
            print(output["text"], end="")
        else:
            print(output.get("data", {}).get("text/plain", ""))
    return True


def main() -> int:
    """Walk the pages that are named, or all pages of how-to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--files", type=Path, help="folder of files a reader has")
    given = parser.parse_args()
    pages = [p.resolve() for p in given.pages or (DOCS / "howto").glob("*.md")]
    files = given.files and given.files.resolve()
    failed = {page.stem: walk(page, files) for page in sorted(pages)}
    print("\nFailed steps:", failed)
    return int(any(failed.values()))


if __name__ == "__main__":
    sys.exit(main())
