"""A preset's names and options, checked before anything runs against what is registered; see `seedbed.plan.checks`.

Problems are lines that start with the key below their entry, such as ``.train.loss``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from seedbed.data.raw.sources import SourceTable
from seedbed.errors import nearest, unknown_name
from seedbed.io.identity import source_closure
from seedbed.io.registrations import registrations
from seedbed.io.signatures import Option
from seedbed.params import Preset
from seedbed.params.data import PUBLISHED, FetchedWeights, Published
from seedbed.params.preset import CHECKPOINT
from seedbed.params.refiner_sections import needs
from seedbed.plan.checks import given_problems, name_problems, option_problems, raise_for
from seedbed.plan.code import CATALOGUES, network_modules
from seedbed.plan.timm_source import timm_networks, timm_tags, timm_words, words_of

Problems = Iterator[str]
_WEIGHTS = {
    "into": [Option("str", False)],
    "layout": [Option("str", False)],
    "subtree": [Option("str", False)],
    "drop": [Option("Sequence[str]", False)],
    "fresh": [Option("Sequence[str]", False)],
    "grid": [Option("Sequence[int]", False)],
}


def check_preset(preset: Preset) -> None:
    """Check every name and option that the schema leaves open, on every data set and for every network.

    Raises:
        ParameterError: naming the key, the word and its nearest match, of each that is wrong.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for section, problems_of in _CHECKS.items():
        for name, entry in getattr(preset, section).items():
            problems = list(problems_of(entry))
            for variation, changed in _variations(entry):
                problems += [f".{variation}{problem}" for problem in problems_of(changed) if problem not in problems]
            for problem in problems:
                found.setdefault((section, problem), []).append(name.removesuffix(CHECKPOINT))
    for name, options in preset.protocols.items():
        for problem in _chosen(f".{name}", "protocol", name, f".{name}", options):
            found.setdefault(("protocols", problem), []).append("")
    if needs(preset.refiners[preset.own.refiner].kind, "truth"):
        problem = f".refiner: '{preset.own.refiner}' is ground truth; masks of your own images are made from labels."
        found["own", problem] = [""]
    raise_for([f"presets.{preset.name}.{_told(*place, names)}" for place, names in found.items()])


def check_sources(preset: Preset, sources: SourceTable) -> None:
    """Check that files and weights which the parameters ask for are in the table of sources.

    Raises:
        ParameterError: naming the key, the word and its nearest match, of each that is not.
    """
    found = []
    for name, entry in preset.datasets.items():
        if isinstance(entry, Published):
            known = [source.name for source in sources.of_dataset(entry.kind) if source.optional]
            wrong = (file for file in entry.optional if file not in known)
            found += [f"datasets.{name}.optional: {unknown_name('optional file', file, known)}" for file in wrong]
    for name, weights in preset.weights.items():
        if isinstance(weights, FetchedWeights) and weights.source not in sources:
            found.append(f"weights.{name}.source: {unknown_name('source', weights.source, sources)}")
    raise_for([f"presets.{preset.name}.{problem}" for problem in found])


def _told(section: str, problem: str, names: Sequence[str]) -> str:
    """A problem, once for all entries that have it from one base: by the shortest name."""
    others = len(set(names)) - 1
    place = ".".join(filter(None, (section, min(names, key=len))))
    return place + problem + (f" (So have {others} more entries.)" if others else "")


def _variations(entry: Any) -> Iterator[tuple[str, Any]]:
    for dataset in getattr(entry, "per_dataset", ()):
        yield f"per_dataset.{dataset}", entry.on(dataset)
    for model in getattr(entry, "per_model", ()):
        yield f"per_model.{model}", entry.changed_for(model)


def _of_explainer(entry: Any) -> Problems:
    yield from _chosen(".method", "explanation method", entry.method, ".options", entry.options)
    yield from _chosen(".fusion", "fusion of views", entry.fusion, ".fusion_options", entry.fusion_options)


def _of_network(entry: Any, task: str) -> Problems:
    yield from _of_architecture(entry, task)
    yield from given_problems(".weights_options", "option of weights", entry.weights_options, _WEIGHTS)
    yield from _chosen(".weights_options.layout", "weights layout", entry.weights_options.get("layout"))
    if entry.checkpoint is not None:
        yield from _chosen(".checkpoint.layout", "weights layout", entry.checkpoint.layout)
    if entry.train is not None:
        yield from _of_training(entry, task)


def _of_classifier(entry: Any) -> Problems:
    yield from _of_network(entry, "classifier")
    words = _words_of(entry) if entry.parts else frozenset()
    for module, part in entry.parts.items():
        if module.partition(".")[0] not in words:
            yield f".parts.{module}: '{entry.architecture}' has no module '{module}'.{nearest(module, words)}"
        yield from _chosen(f".parts.{module}.layout", "weights layout", part.layout)
    if entry.keep is not None:
        yield from _chosen(".keep.by", "choice of an epoch", entry.keep.by)
        yield from _chosen(".keep.method", "explanation method", entry.keep.method, ".keep.options", entry.keep.options)
        yield from _chosen(".keep.fusion", "fusion of views", entry.keep.fusion)
    if entry.prediction is not None:
        yield from _chosen(".prediction.fusion", "fusion mode", entry.prediction.fusion)
        own = registrations(*CATALOGUES["network"])
        able = [name for name, found in own.items() if found[0].keywords.get("predicts_masks", False)]
        if entry.architecture not in able:
            yield f".prediction: '{entry.architecture}' has no decoder; networks that have: {', '.join(able)}."


def _of_affinity_network(entry: Any) -> Problems:
    yield from _of_network(entry, "affinity")
    yield from _chosen(".labels.rule", "confident-label rule", entry.labels.rule)
    yield from _of_steps(".photometric", entry.photometric)


def _of_segmenter(entry: Any) -> Problems:
    yield from _of_network(entry, "segmentation")
    yield from _chosen(".fusion", "fusion mode", entry.fusion)


def _of_dataset(entry: Any) -> Problems:
    """What is wrong with the options of the function that prepares a published data set."""
    if hasattr(entry, "options"):
        (found,) = registrations(*PUBLISHED)[entry.kind]
        known = {name: [option] for name, option in (found.options or {}).items()}
        yield from given_problems(".options", f"option of '{entry.kind}'", entry.options, known)


_CHECKS: dict[str, Callable[[Any], Problems]] = {
    "datasets": _of_dataset,
    "models": _of_classifier,
    "explainers": _of_explainer,
    "affinity_networks": _of_affinity_network,
    "segmenters": _of_segmenter,
}


def _chosen(
    key: str, kind: str, name: Any, options_key: str = "", options: Mapping[str, Any] | None = None
) -> Problems:
    """What is wrong with a registered name, and with its options."""
    if name is not None:
        yield from name_problems(key, *CATALOGUES[kind], name, kind)
        yield from option_problems(options_key, *CATALOGUES[kind], name, options or {})


def _of_architecture(entry: Any, task: str) -> Problems:
    own, name = registrations(*CATALOGUES["network"]), entry.architecture
    architecture, _, tag = name.partition(".")
    if name in own:
        made_for = own[name][0].keywords.get("task", "classifier")
        if made_for != task:
            yield f".architecture: '{name}' is for the task {made_for}, not {task}."
        yield from option_problems(".options", *CATALOGUES["network"], name, entry.options)
    elif architecture not in timm_networks():
        if timm_networks():
            near = nearest(name, [*own, *timm_networks()])
            yield f".architecture: Unknown network '{name}'.{near} Known: {', '.join(sorted(own))}, and all of timm's."
    elif tag and name not in timm_tags(architecture):
        yield f".architecture: {unknown_name('published weights', name, timm_tags(architecture))}"
    else:
        words = timm_words(architecture)
        for option in entry.options:
            if option not in words:
                yield f".options.{option}: timm's {architecture} takes no option '{option}'.{nearest(option, words)}"


def _of_training(entry: Any, task: str) -> Problems:
    train, losses = entry.train, registrations(*CATALOGUES["loss"])
    tasks = {name: found[0].keywords.get("task", "classifier") for name, found in losses.items()}
    if tasks.get(train.loss, task) != task:
        fitting = ", ".join(sorted(name for name, made_for in tasks.items() if made_for == task))
        yield f".train.loss: '{train.loss}' is for the task {tasks[train.loss]}. For {task}: {fitting}."
    else:
        yield from _chosen(".train.loss", "loss", train.loss, ".train.loss_options", train.loss_options)
    yield from _of_steps(".train.augment", train.augment)
    words = _words_of(entry) if train.lr_scales else frozenset()
    for prefix in train.lr_scales:
        first = prefix.partition(".")[0]
        if not any(word.startswith(first) for word in words):
            near = nearest(first, words)
            yield f".train.lr_scales: no parameter of '{entry.architecture}' starts with '{prefix}'.{near}"


def _words_of(entry: Any) -> frozenset[str]:
    """Words of the source that builds a network: the names of its modules are among them."""
    architecture = entry.architecture.partition(".")[0]
    if architecture in timm_networks():
        return timm_words(architecture)
    files = source_closure(*network_modules(entry.plain()))
    return frozenset().union(*(words_of(path) for path in files if path.parent.name == "models"))


def _of_steps(key: str, steps: Sequence[Mapping[str, Any]]) -> Problems:
    """What is wrong with steps of augmentation; a bare argument is the value of a step's first option."""
    known = registrations(*CATALOGUES["augmentation step"])
    for place, step in enumerate(steps):
        if len(step) != 1:
            yield f"{key}.{place}: a step has one name and one argument, not {dict(step)}."
            continue
        ((name, argument),) = step.items()
        options = known[name][0].options if name in known else None
        bare = options and not isinstance(argument, Mapping)
        given = {next(iter(options)): argument} if bare else argument  # type: ignore[arg-type]
        yield from _chosen(f"{key}.{place}", "augmentation step", name, f"{key}.{place}.{name}", given)
