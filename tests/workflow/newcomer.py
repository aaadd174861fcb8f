"""What docs/tutorial.md tells a reader to add, added to a copy of the project as it says."""

import re
from pathlib import Path

from snakemake_runs import REPOSITORY

TEXT = (REPOSITORY / "docs/tutorial.md").read_text()
FILE = re.compile(r"`([\w/]+\.(?:py|yaml))`")
OLD = ("params.yaml", "src/seedbed/data/raw/sources.yaml")


def section(number: int) -> str:
    """The text of a numbered section."""
    body = re.split(r"^## ", TEXT, flags=re.MULTILINE)[number]
    assert body.startswith(f"{number}. ")
    return body


def blocks(number: int, language: str = r"\w+") -> list[tuple[str, str]]:
    """(The last file that is named before it, the text) of each code block of a section."""
    found, body = [], section(number)
    for match in re.finditer(rf"```{language}\n(.*?)```", body, flags=re.DOTALL):
        named = FILE.findall(re.sub(r"```.*?```", "", body[: match.start()], flags=re.DOTALL))
        found.append((named[-1] if named else "", match[1]))
    return found


def add(root: Path, number: int) -> dict[str, int]:
    """Do what a section says in a copy of the project; returns the lines that each file has more."""
    lines = {}
    for name, text in blocks(number, "(?:python|yaml)"):
        path = root / name
        if name == "papers/agcam.yaml":
            _add_row(path, "table2", text)
        elif name in OLD:
            path.write_text("\n".join(_inserted(path.read_text().splitlines(), text.splitlines())) + "\n")
        else:
            assert not path.exists(), f"{name} is there already"
            path.write_text(text)
        lines[name] = len([line for line in text.splitlines() if line.strip()])
    return lines


def _inserted(lines: list[str], more: list[str]) -> list[str]:
    """Lines of YAML with further entries, each at the head of the mapping that it belongs to."""
    if not more:
        return lines
    indent = len(more[0]) - len(more[0].lstrip())
    entries: list[list[str]] = []
    for line in more:
        if line.startswith(" " * (indent + 1)):
            entries[-1].append(line)
        else:
            entries.append([line])
    for key, *content in entries:
        places = [number for number, line in enumerate(lines) if line.partition(" #")[0].rstrip() == key]
        if not places:
            lines = [key, *content, *lines]
            continue
        head = places[0] + 1
        body = next((n for n in range(head, len(lines)) if re.match(rf" {{0,{indent}}}\S", lines[n])), len(lines))
        lines = [*lines[:head], *_inserted(lines[head:body], content), *lines[body:]]
    return lines


def _add_row(path: Path, table: str, text: str) -> None:
    before, found, after = path.read_text().partition(f"  - id: {table}\n")
    rows, gap, others = after.partition("\n\n")
    assert found and gap
    indented = "".join(f"      {line}\n" for line in text.splitlines())
    path.write_text(f"{before}{found}{rows}\n{indented}\n{others}")
