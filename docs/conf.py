"""Settings of the documentation: ``python -m sphinx -W docs docs/_build``.

Every code cell is run by the build. The tutorials are the notebooks of ``examples/``;
the pages of the modules of ``mir21_apoptosis`` are written from the files of the model.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))
# Cells call `mir21sim`: that beside the Python of the build, activated or not.
PATHS = (str(Path(sys.executable).parent), os.environ.get("PATH", ""))
os.environ["PATH"] = os.pathsep.join(PATHS)

import model_pages  # noqa: E402
from myst_nb.core import render  # noqa: E402

from mir21sim import __version__  # noqa: E402


def _version_of_results() -> str:
    """Return a text that changes with the code and the models, so that figures do too.

    The cache of cells knows their text alone.
    """
    files = sorted([*ROOT.glob("mir21sim/**/*.py"), *ROOT.glob("models/**/*.*")])
    total = hashlib.sha256()
    for path in filter(Path.is_file, files):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


project = "mir21sim"
author = "The mir21sim developers"
project_copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
nitpicky = False

html_theme = "pydata_sphinx_theme"
html_title = f"mir21sim {__version__}"
html_static_path = ["_static"]
html_css_files = ["mir21sim.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "show_nav_level": 1,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "notebooks" / _version_of_results())
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables that a cell writes, too; not in CommonMark
nb_number_source_lines = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

copybutton_exclude = ".linenos, .gp, .go"


def _joined(outputs: list) -> list:
    """Return outputs in which the parts of one stream are joined as they came.

    MyST-NB would end each part with a new line, and IPython hands on the output of a
    command in parts of some hundred characters.
    """
    made: list = []
    for output in outputs:
        stream = output["output_type"] == "stream"
        if stream and made and made[-1].get("name") == output["name"]:
            made[-1]["text"] += output["text"]
        else:
            made.append(output)
    return made


render.coalesce_streams = _joined


def _tutorials() -> None:
    """Copy the notebooks of ``examples/``, which are the tutorials."""
    folder = HERE / "tutorials"
    examples = ROOT / "examples"
    for source in sorted([*examples.glob("*.ipynb"), *examples.glob("*.xml")]):
        target = folder / source.name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)


def _commands() -> None:
    """Write the page of all commands from their help."""
    page = HERE / "reference" / "command_line.md"
    call = [sys.executable, "-m", "typer", "mir21sim.cli.app", "utils", "docs"]
    call += ["--name", "mir21sim", "--title", "Command line"]
    text = subprocess.run(call, check=True, capture_output=True, encoding="utf-8")
    codes = "0 for success, 1 for a failed run, 2 for wrong input, 130 after Ctrl-C"
    title, _, rest = text.stdout.partition("\n")
    model_pages.write_page(page, f"{title}\n\nExit codes: {codes}.\n{rest}")


def setup(_app: object) -> None:
    """Write the pages that come from other files."""
    _tutorials()
    _commands()
    model_pages.write(HERE / "model" / "modules")
