"""Hooks of MkDocs: pages of the site that are made from the project itself, so that nothing is told twice.

The home page is README.md; the references are made from the parameters' schema, the papers' tables and the docstrings.
"""

import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import seedbed  # noqa: E402
from seedbed.papers import read_papers  # noqa: E402
from seedbed.params.preset import Preset  # noqa: E402

PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""File at the top -> page of the site."""
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(#[^)]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the packages of the library into the navigation."""
    for section in config.nav:
        for entries in section.values():
            for entry in entries if isinstance(entries, list) else ():
                if "Python" in entry:
                    entry["Python"] = [{name: f"reference/api/{name}.md"} for name, _ in api()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages."""
    made = {page: moved((ROOT / name).read_text()) for name, page in PAGES.items()}
    made["reference/parameters.md"] = "\n".join(parameters())
    made["reference/targets.md"] = "\n".join(targets())
    made |= {f"reference/api/{name}.md": text for name, text in api()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Pages of `docs/` link to files of the project as they lie in a checkout; on the site those are text."""
    if not page.file.src_uri.startswith("reference/"):
        markdown = LINK.sub(lambda link: "]" + beside(link, page.file.src_uri), markdown)
        markdown = re.sub(r"\[([^\[\]]+)\]\{gone\}", r"\1", markdown)
    return markdown


def moved(text: str) -> str:
    """Text of a file at the top as a page of the site."""
    return LINK.sub(lambda link: f"]({link[1].removeprefix('docs/')}{link[2] or ''})", text)


def beside(link: re.Match, page: str) -> str:
    """A link's target, as a page of the site; a file that is none of it is marked, and loses its link."""
    path = link[1].removeprefix("../")
    target = PAGES.get(path, link[1])
    inside = (ROOT / "docs" / target).exists() or target in PAGES.values() or target.startswith("reference/")
    return f"({target}{link[2] or ''})" if inside or not (ROOT / path).exists() else "{gone}"


def parameters() -> Iterator[str]:
    """Every parameter with its type, default and meaning, from the schema that checks `params.yaml`."""
    schema = Preset.model_json_schema(mode="validation")
    sections = schema["$defs"]
    yield "# Parameters\n"
    yield "Made from the schema that checks `params.yaml`. `NAME` stands for a name that you choose; the entries of a"
    yield "section are written under it. On the command line a path is joined by two underscores:"
    yield "`--config models__vit_hybrid__train__epochs=8`.\n"
    yield "## A preset\n"
    yield from table_of(schema)
    for name in sorted(sections):
        if "properties" in sections[name]:
            yield f"\n## {name}\n"
            yield f"{plain(sections[name].get('description', ''))}\n"
            yield from table_of(sections[name])


def table_of(section: dict[str, Any]) -> Iterator[str]:
    """One line a parameter of a section."""
    yield "| parameter | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, entry in section["properties"].items():
        required = name in section.get("required", ())
        default = "required" if required else f"`{written(entry.get('default'))}`"
        yield f"| `{name}` | {type_of(entry)} | {default} | {cell(entry.get('description', ''))} |"


def type_of(entry: dict[str, Any]) -> str:
    """A schema's type in words."""
    if "$ref" in entry:
        name = entry["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in entry:
        return " or ".join(f"`{value}`" for value in entry["enum"])
    if "const" in entry:
        return f"`{entry['const']}`"
    for key in ("anyOf", "oneOf"):
        if key in entry:
            return " or ".join(dict.fromkeys(type_of(option) for option in entry[key]))
    kind = entry.get("type", "any value")
    if kind == "array":
        return f"list of {type_of(entry['items'])}" if entry.get("items") else "list"
    if kind == "object":
        inner = entry.get("additionalProperties")
        return f"`NAME`: {type_of(inner)}" if isinstance(inner, dict) else "`NAME`: any value"
    return {"string": "text", "number": "number", "boolean": "`true` or `false`"}.get(kind, kind) + limits(entry)


def limits(entry: dict[str, Any]) -> str:
    """The range of a number."""
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {entry[key]}" for key, word in words.items() if key in entry]
    return f" ({', '.join(found)})" if found else ""


def written(value: Any) -> str:
    """A default as it is written in YAML."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def plain(text: str) -> str:
    """A docstring's words in one line of Markdown."""
    return " ".join(text.replace("``", "`").split())


def cell(text: str) -> str:
    """Words that may stand in a table."""
    return plain(text).replace("|", r"\|")


def targets() -> Iterator[str]:
    """The papers' tables and figures, and what each asks."""
    yield "# Tables and figures\n"
    yield "Each is a target of Snakemake: `snakemake --cores all -- exvit_table1`. `snakemake help --cores 1` lists all"
    yield "targets, with how much of each the preset makes.\n"
    for paper in read_papers(ROOT / "papers").values():
        yield f"## {paper.id}\n\n*{paper.title}*. {paper.citation}\n"
        yield "| target | what | question |\n| --- | --- | --- |"
        for entry in (*paper.tables, *paper.figures):
            yield f"| `{paper.id}_{entry.id}` | {cell(entry.title)} | {cell(entry.question or '')} |"
        yield ""


def api() -> Iterator[tuple[str, str]]:
    """One page a package of the library, with everything public in it."""
    for module in pkgutil.iter_modules(seedbed.__path__, "seedbed."):
        text = f"# {module.name}\n\n::: {module.name}\n"
        if module.ispkg:
            text += "    options:\n      show_submodules: true\n"
        yield module.name.removeprefix("seedbed."), text
