"""Every number of a model, with its unit, status and source."""

from typing import Any

from mir21sim import units
from mir21sim.model import metadata, read
from mir21sim.model.files import ModelFiles
from mir21sim.model.sources import SourcedNumber


def source_rows(files: ModelFiles) -> list[dict[str, Any]]:
    """Return every number of a model with its source, the context's in their place.

    ``from`` says where a number stands: the context or the model.
    """
    network, _ = read.understand(files)
    table = metadata.parameter_table(files)
    overrides = metadata.context_table(files)
    numbers = {p.id: (p.value, p.unit) for p in network.parameters if p.constant}
    numbers |= {c.id: (c.size, c.unit) for c in network.compartments}
    plain = {
        name: SourcedNumber(name, value, units.parts_text(unit), "none", "", "", 0)
        for name, (value, unit) in numbers.items()
        if value is not None
    }
    found = plain | table | overrides
    return [
        {
            "id": row.id,
            "value": row.value,
            "unit": row.unit,
            "status": row.status,
            "source": row.source,
            "note": row.note,
            "from": files.context if name in overrides else files.name,
        }
        for name, row in found.items()
    ]
