"""A finished table as one file that can be deposited (Zenodo, a journal's supplement) and read in ten years.

It holds the table, the measurements behind each number with their provenance, the training histories, the cards of the
data, the parameters, the environment's lock and the workflow, and a Workflow Run RO-Crate that says what each file is.
"""

import json
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seedbed.errors import DataError
from seedbed.io.atomic import atomic_path, read_json
from seedbed.report.crate import METADATA, crate, read_citation

PROJECT = (
    *("Snakefile", "params.yaml", "environment.yml", "requirements.lock", "pyproject.toml", "README.md", "LICENSE"),
    *("CITATION.cff", "rules", "workflow_scripts", "papers", "profiles", "schemas", "src", "pretrained"),
)
"""Files and folders of a checkout that an archive holds, so that the computation can be done again from it alone."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MADE = {"__pycache__", ".snakemake"}


def write_archive(
    path: str | Path,
    title: str,
    paper: Mapping[str, str],
    *,
    tables: Iterable[str | Path],
    evidence: Iterable[str | Path],
    cards: Iterable[str | Path],
    project: str | Path,
) -> dict[str, Any]:
    """Write the archive, whole or not at all; the same files give the same bytes.

    Args:
        path: the zip.
        title: of the table.
        paper: title and citation of its paper.
        tables: the table's files; their paths are kept.
        evidence: metrics with their provenance, histories, records of checkpoints; their paths are kept.
        cards: ``card.json`` of every data set; ``croissant.json`` beside one comes along.
        project: the checkout that computed it.

    Returns:
        The crate's metadata.

    Raises:
        DataError: a file is missing, or ``CITATION.cff`` lacks authors or a licence.
    """
    project = Path(project)
    tables, evidence = list(map(Path, tables)), list(map(Path, evidence))
    described = [
        file for card in map(Path, cards) for file in (card, card.with_name("croissant.json")) if file.exists()
    ]
    files = {file.as_posix(): _read(file) for file in (*tables, *evidence, *described)}
    files |= {file.relative_to(project).as_posix(): _read(file) for file in _project_files(project)}
    ended = datetime.fromtimestamp(max(int(file.stat().st_mtime) for file in tables), UTC).isoformat()
    files["ABOUT.md"] = _about(title, paper, tables).encode()
    metadata = crate(
        title,
        f"A table of the paper '{paper['title']}', computed by Seedbed, with everything it was computed from.",
        files,
        inputs=["params.yaml", *(file.as_posix() for file in described)],
        results=[file.as_posix() for file in (*tables, *evidence)],
        citation=read_citation(_read(project / "CITATION.cff").decode(), str(project / "CITATION.cff")),
        papers=[paper["title"]],
        libraries={**_libraries(evidence), "snakemake": version("snakemake")},
        ended=ended,
    )
    files[METADATA] = (json.dumps(metadata, indent=2, ensure_ascii=False) + "\n").encode()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return metadata


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be archived ({error.strerror}).") from None


def _project_files(project: Path) -> list[Path]:
    found = []
    for name in PROJECT:
        entry = project / name
        if not entry.exists():
            raise DataError(f"{entry}: is missing; an archive holds the workflow that made its results.")
        below = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
        found += [file for file in below if file.is_file() and not _MADE & set(file.parts)]
    return [file for file in found if file.suffix != ".pyc"]


def _libraries(evidence: Iterable[Path]) -> dict[str, str]:
    """Versions of the libraries in the provenance of the measurements; where two differ, both are named."""
    found: dict[str, set[str]] = {}
    for path in evidence:
        content = read_json(path) if path.suffix == ".json" else {}
        for name, number in content.get("provenance", {}).get("libraries", {}).items():
            found.setdefault(name, set()).add(number)
    return {name: ", ".join(sorted(numbers)) for name, numbers in found.items()}


def _about(title: str, paper: Mapping[str, str], tables: Iterable[Path]) -> str:
    names = "".join(f"- `{path.as_posix()}`\n" for path in tables)
    return f"""# {title}

Of the paper: {paper["title"]}. {paper["citation"]}

Computed by Seedbed. The table:

{names}
Beside it lie the measurements behind each number, each with its provenance (parameters, checksums of data and code,
versions, seed, device), and the cards of the data with their checksums. The data are not included; `params.yaml` and
`src/seedbed/data/raw/sources.yaml` say where they come from.

To compute it again: unpack, install `requirements.lock` or `environment.yml`, and call Snakemake in the folder.
`{METADATA}` says the same to machines (Workflow Run RO-Crate).
"""
