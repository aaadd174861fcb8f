"""Which rules a test run executed: ``python tools/rules_run.py FOLDER``, the folder that pytest's ``--basetemp`` named.

Coverage of Python says nothing of rules, since Snakemake compiles them; but it notes the rule that made each file.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"^\s*(?:use rule \w+ as|rule|checkpoint) (\w+)(?: with)?:", re.M)


def declared() -> set[str]:
    """Names of the rules that make files, as they stand in the Snakefile and in `rules/`."""
    rules = set()
    for path in (ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))):
        text = path.read_text()
        for found in NAMED.finditer(text):
            body = text[found.end() : text.find("\n\n\n", found.end())]
            if "output:" in body or found[0].lstrip().startswith("use"):
                rules.add(found[1])
    return rules


def executed(folder: Path) -> set[str]:
    """Names of the rules that made a file somewhere below a folder."""
    rules = set()
    for path in folder.rglob(".snakemake/metadata/*"):
        if path.is_file():
            rules.add(json.loads(path.read_text()).get("rule"))
    return rules - {None}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    there, run = declared(), executed(Path(sys.argv[1]))
    print(f"Rules that the tests ran: {len(there & run)} of {len(there)}.")
    print(f"Not run: {', '.join(sorted(there - run)) or 'none'}.")
