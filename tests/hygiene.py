"""Basic hygiene of text files: final newline, no trailing blanks, no tabs in YAML, no conflict marks, nothing large."""

import re
import sys
from pathlib import Path

LARGEST = 2 * 1024 * 1024
CONFLICT = re.compile(r"^(<{7} |>{7} |={7}$)", re.M)


def problems(path: Path) -> list[str]:
    """What is wrong with one file."""
    if path.stat().st_size > LARGEST:
        return [f"{path}: larger than {LARGEST} bytes; track it with DVC"]
    text = path.read_text(errors="strict")
    found = []
    if text and not text.endswith("\n"):
        found.append(f"{path}: no newline at the end")
    if path.suffix != ".svg" and re.search(r"[ \t]+$", text, re.M):
        found.append(f"{path}: blanks at the end of a line")
    if path.suffix in (".yaml", ".yml") and "\t" in text:
        found.append(f"{path}: a tab in YAML")
    if CONFLICT.search(text):
        found.append(f"{path}: a conflict mark")
    return found


if __name__ == "__main__":
    wrong = [problem for name in sys.argv[1:] for problem in problems(Path(name))]
    print("\n".join(wrong))
    sys.exit(bool(wrong))
