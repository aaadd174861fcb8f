"""Check that each rule that computes names its environment; prints those that do not, and fails then."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RULE = re.compile(r"^( *)(rule|checkpoint)( \w+)?:\n((?:\1 +.*\n|\n)*)", re.M)


def without_environment(text: str) -> list[str]:
    """Names of the rules with a script or a command that name no environment."""
    return [
        (name or "unnamed").strip()
        for _, _, name, body in RULE.findall(text)
        if re.search(r"^ +(script|shell|run):", body, re.M) and not re.search(r"^ +(conda|container):", body, re.M)
    ]


if __name__ == "__main__":
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk")))
        for name in without_environment(path.read_text())
    ]
    print("\n".join(found) or "Every rule that computes names its environment.")
    sys.exit(bool(found))
