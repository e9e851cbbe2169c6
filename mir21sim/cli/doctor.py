"""``mir21sim doctor``: versions, cache folder, cores and optional parts."""

import typer

from mir21sim.cli.output import EXIT_FAILED_RUN

OPTIONAL = {
    "antimony": "Antimony files",
    "flowio": "FCS files",
    "libroadrunner": "cross-checks",
    "python-copasi": "cross-checks",
}


def doctor() -> None:
    """Print versions, cache folder, cores and optional parts; check that they work."""
    text, healthy = doctor_text()
    typer.echo(text)
    if not healthy:
        raise typer.Exit(EXIT_FAILED_RUN)


def _cache_text() -> str:
    """Return the cache folder, and why it is a temporary one."""
    from mir21sim.compiler import cache_folder

    why = cache_folder.problem()
    temporary = f" until this process ends, as {why}" if why else ""
    return f"{cache_folder.folder()}{temporary}"


def doctor_text() -> tuple[str, bool]:
    """Return versions, folders and the state of the parts, and whether all is well."""
    import os
    import platform

    from mir21sim.compiler import load
    from mir21sim.errors import Mir21simError
    from mir21sim.model import files
    from mir21sim.simulation.provenance import version_of, versions

    healthy = True
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    python = platform.python_version()
    found = versions()
    lines = [
        f"mir21sim {found.pop('mir21sim')}, Python {python}, {machine}",
        f"cache folder: {_cache_text()}",
        f"models: {files.models_folder()} ({', '.join(files.shipped())})",
    ]
    for name, version in found.items():
        healthy &= version != "missing"
        lines.append(f"  {name:16s} {version}")
    for name, use in OPTIONAL.items():
        lines.append(f"  {name:16s} {version_of(name)} (optional: {use})")
    for name in files.shipped():
        try:
            load.load(name, files.BASE, backend="numpy")
            lines.append(f"  model {name}: loads")
        except Mir21simError as error:
            healthy = False
            lines.append(f"  model {name}: {error}")
    lines.append("all is well" if healthy else "something is missing, see above")
    return "\n".join(lines), healthy
