"""`python -m seedbed.papers schema`: write the JSON schema of papers/*.yaml anew, into schemas/."""

import sys
from collections.abc import Mapping
from typing import Any

from seedbed.papers.papers_schema import papers_schema
from seedbed.params.schema import write_schema


def _make(_: Mapping[str, Any] | None) -> dict[str, Any]:
    return papers_schema()


if sys.argv[1:] != ["schema"]:
    sys.exit("usage: python -m seedbed.papers schema")
write_schema("schemas/papers.schema.json", _make)
