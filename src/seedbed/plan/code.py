"""Which code computes a result: a rule's script, what that imports, and what names among its parameters choose.

The functions take a section of the parameters as plain values and return dotted module names. A name that is nobody's
(a network of timm's) has no module.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from seedbed.io.identity import code_digest, module_name, source_closure
from seedbed.io.registrations import modules_registering, registered_names, registrations
from seedbed.params.data import PUBLISHED
from seedbed.params.mask_prediction import FUSIONS

PAGES = Path(__file__).resolve().parents[1] / "report"
"""Templates, styles, scripts and the libraries that pages inline lie in two folders of it."""

NETWORKS = "seedbed.models"
CATALOGUES = {
    "published data set": PUBLISHED,
    "network": (NETWORKS, "register"),
    "weights layout": ("seedbed.models", "layout"),
    "loss": ("seedbed.train", "loss"),
    "augmentation step": ("seedbed.data", "augmentation"),
    "explanation method": ("seedbed.explain", "explainer"),
    "method by layer": ("seedbed.explain", "by_layer"),
    "fusion of views": ("seedbed.explain", "view_fusion"),
    "fusion mode": FUSIONS,
    "confident-label rule": ("seedbed.refine", "label_rule"),
    "refiner": ("seedbed.refine", "refiner"),
    "protocol": ("seedbed.evaluate", "measurement"),
    "choice of an epoch": ("seedbed.evaluate", "epoch_choice"),
}
"""Kind of what is chosen by name -> the package whose modules enter it, and the function by which they do."""

Section = Mapping[str, Any]


class Code:
    """Digests of the code behind rules, each taken once.

    Args:
        scripts: folder of the scripts.
    """

    def __init__(self, scripts: Path) -> None:
        self.scripts = scripts
        self._digest = cache(self._digest_of)

    def of(self, script: str, *modules: str, pages: bool = False) -> str:
        """Digest of a script, what that imports, further modules, and perhaps the templates of pages."""
        return self._digest(script, tuple(sorted(set(modules))), pages)

    def _digest_of(self, script: str, modules: Iterable[str], pages: bool) -> str:
        texts = [path for name in ("templates", "vendor") for path in (PAGES / name).iterdir()] if pages else ()
        return code_digest(self.scripts / f"{script}.py", *modules, texts=texts)


def modules_of(kind: str, *names: Any) -> list[str]:
    """Modules that enter ``names`` into the catalogue of a kind; what is no string is nobody's name."""
    return modules_registering(*CATALOGUES[kind], *names)


def every_module_of(kind: str) -> list[str]:
    """Modules that enter anything into the catalogue of a kind."""
    return modules_of(kind, *registered_names(*CATALOGUES[kind]))


def network_modules(network: Section) -> list[str]:
    """Modules that build a network, chosen by its architecture and by names among its options."""
    return modules_of("network", network["architecture"], *network["options"].values())


def training_modules(network: Section) -> list[str]:
    """Modules of a training: network, layout of what it starts from, loss, augmentation, labels, choice of an epoch."""
    training, labels, keep = network["train"] or {}, network.get("labels") or {}, network.get("keep") or {}
    parts = (network.get("parts") or {}).values()
    steps = [*training.get("augment", ()), *network.get("photometric", ())]
    return [
        *network_modules(network),
        *modules_of("weights layout", (network.get("weights_options") or {}).get("layout")),
        *modules_of("weights layout", *(part["layout"] for part in parts)),
        *modules_of("loss", training.get("loss")),
        *modules_of("augmentation step", *(name for step in steps for name in step)),
        *modules_of("confident-label rule", labels.get("rule")),
        *modules_of("choice of an epoch", keep.get("by")),
        *modules_of("explanation method", keep.get("method")),
        *modules_of("fusion of views", keep.get("fusion")),
    ]


def checkpoint_modules(network: Section) -> list[str]:
    """Modules that bring a published checkpoint into its network."""
    return [*network_modules(network), *modules_of("weights layout", network["checkpoint"]["layout"])]


def explainer_modules(explainer: Section, network: Section) -> list[str]:
    """Modules of an explanation method, as far as it is for such a network, and of the fusion of its views.

    A method has an implementation for each family of networks; one for the class of another network is not needed.
    """
    built = _all_behind(*network_modules(network))
    method = registrations(*CATALOGUES["explanation method"]).get(explainer["method"], ())
    others = [entry.takes for entry in method if (entry.takes or "").startswith(f"{NETWORKS}.")]
    fitting = [entry.module for entry in method if entry.takes not in others or entry.takes in built]
    return [*sorted(set(fitting)), *modules_of("fusion of views", explainer["fusion"])]


@cache
def _all_behind(*modules: str) -> frozenset[str]:
    """Modules, and all that they import."""
    return frozenset(module_name(path) for path in source_closure(*modules))


def layer_modules(explainer: Section) -> list[str]:
    """Modules that explain layer by layer by an explanation method."""
    return modules_of("method by layer", explainer["method"])


def prediction_modules(segmenter: Section) -> list[str]:
    """Modules of a segmentation network and of the fusion of its scales."""
    return [*network_modules(segmenter), *modules_of("fusion mode", segmenter["fusion"])]


def refiner_modules(refiner: Section) -> list[str]:
    """Modules of a kind of refiner."""
    return modules_of("refiner", refiner["kind"])


def measurement_modules(name: str) -> list[str]:
    """Modules of a measurement."""
    return modules_of("protocol", name)


def panel_modules(panels: Iterable[Section]) -> list[str]:
    """Modules behind the panels of a gallery: of those that are explained while they are drawn."""
    found: set[str] = set()
    for panel in panels:
        found.update(network_modules(panel["network"]) if "network" in panel else ())
        if "explainer" in panel:
            found.update(explainer_modules(panel["explainer"], panel["network"]), layer_modules(panel["explainer"]))
    return sorted(found)
