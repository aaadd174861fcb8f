"""Digests of the code behind a rule's result: its script, and what names in the parameters choose."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from seedbed.io.identity import code_digest
from seedbed.io.registrations import modules_registering

TEMPLATES = Path(__file__).resolve().parents[1] / "report" / "templates"


class Code:
    """Digests, each taken once.

    Args:
        scripts: folder of the scripts.
    """

    def __init__(self, scripts: Path) -> None:
        self.scripts = scripts
        self._digest = cache(self._digest_of)

    def of(self, script: str, *modules: str, pages: bool = False) -> str:
        """Digest of a script, what that imports, further modules, and perhaps the templates of pages."""
        return self._digest(script, tuple(sorted(set(modules))), pages)

    def of_network(self, script: str, network: Any) -> str:
        """With what builds, and where it is trained what trains, a network of the parameters."""
        return self.of(script, *modules_of(network))

    def of_explainer(self, script: str, network: Any, explainer: Any) -> str:
        """With what builds a network and what explains it."""
        return self.of(script, *modules_of(network), *methods_modules(explainer.method))

    def of_refiner(self, script: str, refiner: Any, network: Any = None) -> str:
        """With what refines, and the affinity network that it walks on."""
        return self.of(script, *(modules_of(network) if network is not None else ()))

    def of_labels(self, script: str, labels: Any) -> str:
        """With the rule that makes confident labels."""
        return self.of(script)

    def of_measurement(self, script: str, name: str) -> str:
        """With what a measurement counts and merges."""
        return self.of(script)

    def of_panels(self, script: str, panels: Iterable[Mapping[str, Any]]) -> str:
        """With what builds and explains the networks of a gallery's columns that are drawn on the spot."""
        used: set[str] = set()
        for panel in panels:
            used.update(networks_modules(panel["network"]) if "network" in panel else ())
            used.update(methods_modules(panel["explainer"]["method"]) if "explainer" in panel else ())
        return self.of(script, *used, pages=True)

    def _digest_of(self, script: str, modules: Iterable[str], pages: bool) -> str:
        texts = TEMPLATES.glob("*.j2") if pages else ()
        return code_digest(self.scripts / f"{script}.py", *modules, texts=texts)


def modules_of(network: Any) -> list[str]:
    """Modules that build a network of the parameters, chosen by its name and by names among its options."""
    return networks_modules(network.plain())


def networks_modules(network: Mapping[str, Any]) -> list[str]:
    """The same of a section's plain values."""
    return modules_registering("seedbed.models", "register", network["architecture"], *network["options"].values())


def methods_modules(method: str) -> list[str]:
    """Modules that implement an explanation method."""
    return modules_registering("seedbed.explain", "explainer", method)
