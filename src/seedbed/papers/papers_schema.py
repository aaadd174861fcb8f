"""The JSON schema of papers/*.yaml, for editors."""

from typing import Any

from seedbed.papers.measured import stages
from seedbed.papers.tables import Paper
from seedbed.params.schema import DRAFT, without_titles


def papers_schema() -> dict[str, Any]:
    """Return the schema of one paper's file."""
    schema = without_titles(Paper.model_json_schema())
    schema["$defs"]["Pipeline"]["properties"]["stage"]["enum"] = list(stages())
    return {"$schema": DRAFT, **schema}
