"""A finished computation for machines: a Workflow Run RO-Crate, as JSON-LD.

It says which workflow, with which inputs, made which results, when, by whom and under which licence, with the checksum
of every file. Authors, licence and papers come from ``CITATION.cff``, where whoever publishes results puts their own.
Profiles: RO-Crate 1.1, Workflow RO-Crate 1.0, Process and Workflow Run Crate 0.5.
"""

import hashlib
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from seedbed.errors import DataError

METADATA = "ro-crate-metadata.json"
WORKFLOW = "Snakefile"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
_TYPES = {".md": "text/markdown", ".yaml": "application/yaml", ".yml": "application/yaml", ".smk": "text/x-python"}
Entity = dict[str, Any]


@dataclass(frozen=True)
class Citation:
    """What ``CITATION.cff`` says of the software: its licence (SPDX), its authors, and the works it builds on."""

    licence: str
    authors: Sequence[Mapping[str, str]]
    references: Sequence[Mapping[str, Any]]


def read_citation(text: str, name: str = "CITATION.cff") -> Citation:
    """Read the parts that a crate needs.

    Raises:
        DataError: there is no licence or no author.
    """
    content = yaml.safe_load(text) or {}
    missing = [key for key in ("license", "authors") if not content.get(key)]
    if missing:
        raise DataError(f"{name}: lacks {' and '.join(missing)}; results are not published without them.")
    return Citation(content["license"], content["authors"], content.get("references", ()))


def crate(
    title: str,
    about: str,
    files: Mapping[str, bytes],
    *,
    inputs: Sequence[str],
    results: Sequence[str],
    citation: Citation,
    papers: Sequence[str],
    libraries: Mapping[str, str],
    ended: str,
) -> Entity:
    """Return the metadata of a crate.

    Args:
        title: its name.
        about: one sentence.
        files: content of every file in it by its path; `WORKFLOW` is among them.
        inputs: paths of what the computation read: parameters, descriptions of data sets.
        results: paths of what it made.
        citation: authors and licence.
        papers: titles, among the citation's references, of the works that the results belong to.
        libraries: versions by name, of Python, Snakemake and the libraries whose arithmetic is in the results.
        ended: when the last result was written, ISO 8601 with a time zone.
    """
    authors = [_author(entry, number) for number, entry in enumerate(citation.authors)]
    licence = {"@id": f"https://spdx.org/licenses/{citation.licence}"}
    works = [_work(entry) for entry in citation.references if entry["title"] in papers]
    parts = [_file(path, content) for path, content in sorted(files.items())]
    software = [_software(name, version) for name, version in sorted(libraries.items()) if name != "snakemake"]
    return {
        "@context": ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"],
        "@graph": [
            {
                "@id": METADATA,
                "@type": "CreativeWork",
                "about": {"@id": "./"},
                "conformsTo": [{"@id": "https://w3id.org/ro/crate/1.1"}, {"@id": list(_PROFILES)[-1]}],
            },
            {
                "@id": "./",
                "@type": "Dataset",
                "name": title,
                "description": about,
                "datePublished": ended[:10],
                "license": licence,
                "author": _ids(authors),
                "conformsTo": [{"@id": profile} for profile in _PROFILES],
                "mainEntity": {"@id": WORKFLOW},
                "mentions": {"@id": "#run"},
                "citation": _ids(works),
                "hasPart": _ids(parts),
            },
            {
                "@id": "#run",
                "@type": "CreateAction",
                "name": f"Run of Seedbed: {title}",
                "instrument": {"@id": WORKFLOW},
                "agent": _ids(authors),
                "object": [{"@id": path} for path in inputs],
                "result": [{"@id": path} for path in results],
                "endTime": ended,
                "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
            },
            *(_workflow(part, licence, authors, software) if part["@id"] == WORKFLOW else part for part in parts),
            {
                "@id": "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
                "@type": "ComputerLanguage",
                "name": "Snakemake",
                "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
                "url": {"@id": "https://snakemake.readthedocs.io"},
                "version": libraries.get("snakemake", "unknown"),
            },
            {"@id": licence["@id"], "@type": "CreativeWork", "name": citation.licence, "identifier": citation.licence},
            *(
                {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}
                for profile, (name, version) in _PROFILES.items()
            ),
            *authors,
            *works,
            *software,
        ],
    }


def _ids(entities: Sequence[Entity]) -> list[Entity]:
    return [{"@id": entity["@id"]} for entity in entities]


def _file(path: str, content: bytes) -> Entity:
    suffix = f".{path.rpartition('.')[2]}"
    return {
        "@id": path,
        "@type": "File",
        "name": path,
        "encodingFormat": _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream",
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _workflow(part: Entity, licence: Entity, authors: Sequence[Entity], software: Sequence[Entity]) -> Entity:
    return part | {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "Seedbed",
        "programmingLanguage": {"@id": "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"},
        "license": licence,
        "creator": _ids(authors),
        "softwareRequirements": _ids(software),
    }


def _author(entry: Mapping[str, str], number: int) -> Entity:
    """An author of CITATION.cff: a person with an ORCID or without, or an organisation."""
    if "name" in entry:
        return {"@id": f"#author{number}", "@type": "Organization", "name": entry["name"]}
    person = {
        "@id": entry.get("orcid", f"#author{number}"),
        "@type": "Person",
        "name": f"{entry.get('given-names', '')} {entry.get('family-names', '')}".strip(),
    }
    return person | ({"affiliation": entry["affiliation"]} if "affiliation" in entry else {})


def _work(entry: Mapping[str, Any]) -> Entity:
    address = f"https://doi.org/{entry['doi']}" if "doi" in entry else entry.get("url")
    people = [f"{one.get('given-names', '')} {one['family-names']}".strip() for one in entry["authors"]]
    return {
        "@id": address or f"#{entry['title']}".replace(" ", "_"),
        "@type": "ScholarlyArticle",
        "name": entry["title"],
        "creator": people,
        "datePublished": str(entry["year"]),
    }


def _software(name: str, version: str) -> Entity:
    return {"@id": f"#{name}-{version}", "@type": "SoftwareApplication", "name": name, "version": version}
