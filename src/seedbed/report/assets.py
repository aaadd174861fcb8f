"""What makes a page work without a network: its own style and script, and the libraries they use, all inlined.

``vendor/vendored.json`` names each library, its version on npm, its licence, and the checksum of each of its files.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

_HERE = Path(__file__).resolve().parent
TEMPLATES, VENDOR = _HERE / "templates", _HERE / "vendor"
STYLES = (VENDOR / "uPlot.min.css", TEMPLATES / "page.css")
SCRIPTS = (VENDOR / "dataTables.min.js", VENDOR / "uPlot.iife.min.js", TEMPLATES / "page.js")


class Assets(NamedTuple):
    """What a page inlines.

    Attributes:
        style: one style sheet.
        scripts: scripts, in their order; trusted, they are ours.
        policy: a Content Security Policy under which a browser runs these scripts alone and fetches nothing.
    """

    style: Markup
    scripts: tuple[Markup, ...]
    policy: str


@cache
def assets() -> Assets:
    """The style, the scripts and the policy of every page."""
    scripts = tuple(f"\n{path.read_text(encoding='utf-8').strip()}\n" for path in SCRIPTS)
    style = "\n".join(path.read_text(encoding="utf-8").strip() for path in STYLES)
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_source, scripts))}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Assets(Markup(style), tuple(map(Markup, scripts)), policy)


def _source(script: str) -> str:
    """A script's place in the policy: the digest of its text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
