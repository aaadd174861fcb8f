# The checked preset, where artifacts lie, and what every rule declares.

from dataclasses import asdict
from functools import cache
import re

from seedbed.data.index import SUBSETS
from seedbed.data.raw.sources import TABLE as TABLE_OF_SOURCES
from seedbed.data.raw.sources import load_sources
from seedbed.errors import UserError, unknown_name
from seedbed.io.identity import code_digest
from seedbed.papers import Layout, missing_names, read_papers, table_cells
from seedbed.plan.describe import figure_notes, footnotes
from seedbed.papers.figures import CHARTS, figure_panels, figure_series, missing_of
from seedbed.papers.measured import measurements, measures
from seedbed.papers.plan import checkpoint_records, histories
from seedbed.params import own_name, resolve
from seedbed.params.preset import CHECKPOINT, TRAININGS
from seedbed.params.refiners import needs as refiner_needs
from seedbed.plan import code as modules
from seedbed.plan.paper_checks import check_papers
from seedbed.plan.parameter_checks import check_preset, check_sources


def checked(call, *arguments):
    """Call the library; a mistake in the parameters ends as one clear message instead of a traceback."""
    try:
        return call(*arguments)
    except UserError as error:
        raise SystemExit(f"\n{error}\n") from None


BASE = Path(workflow.basedir)
PRESET = checked(resolve, config)
if workflow.is_main_process:  # jobs plan again what has been checked
    checked(check_preset, PRESET)
SOURCES = checked(load_sources, config.get("sources") or TABLE_OF_SOURCES)
PAPERS = checked(read_papers, BASE / "papers")
checked(check_sources, PRESET, SOURCES)
if workflow.is_main_process:
    checked(check_papers, PAPERS, PRESET, config)
LAYOUT = Layout(PRESET.name)
TABLES = {
    f"{paper.id}_{table.id}": (paper.id, table.id)
    for paper in PAPERS.values()
    for table in paper.tables
}
FIGURES = {
    f"{paper.id}_{figure.id}": (paper.id, figure.id)
    for paper in PAPERS.values()
    for figure in paper.figures
}
checked(PRESET.check_tables, TABLES)
checked(PRESET.check_targets, [*TABLES, *FIGURES])


def names_of(kind, table):
    """A regular expression of the names in a section whose entries are of one kind; matches nothing if there is none."""
    return (
        "|".join(name for name, entry in table.items() if entry.kind == kind) or "(?!)"
    )


def refiners(affinities):
    """A regular expression of the refiners that need an affinity network, or of those that need none."""
    return (
        "|".join(
            name
            for name, entry in PRESET.refiners.items()
            if refiner_needs(entry.kind, "affinities") == affinities
        )
        or "(?!)"
    )


def networks(table, published=False):
    """A regular expression of the networks of a section that are trained here, or whose checkpoints are measured."""
    entries = getattr(PRESET, table).items()
    return (
        "|".join(name for name, entry in entries if bool(entry.checkpoint) == published)
        or "(?!)"
    )


PUBLISHED = (
    "|".join(
        name
        for name, entry in PRESET.datasets.items()
        if entry.kind in SOURCES.datasets
    )
    or "(?!)"
)


wildcard_constraints:
    source=r"\w+",
    dataset=r"[\w.-]+",
    split=r"[\w-]+",
    model=r"[\w.-]+",
    explainer=r"[\w-]+",
    refiner=r"[\w-]+",
    network=r"[\w-]+",
    segmenter=r"[\w-]+",
    seed=r"\d+",
    scatteritem=r"\d+-of-\d+",


@cache
def code(script, *modules, pages=False):
    """Digest of the code of a result: its script, what that imports, modules chosen by name, perhaps the pages' templates."""
    templates = (BASE / "src/seedbed/report/templates").glob("*.j2") if pages else ()
    return code_digest(
        BASE / "workflow_scripts" / f"{script}.py", *modules, texts=templates
    )


RULES_WITH_RESOURCES = set()


def threads_of(rule):
    """Threads that the parameters give a rule."""
    RULES_WITH_RESOURCES.add(rule)
    return PRESET.resources_for(rule).threads


def resource(rule, key):
    """A resource that the parameters give a rule; time and memory may differ by data set, and grow with each attempt."""
    entry = PRESET.resources_for(rule)
    trained = TRAININGS[rule][1] if rule in TRAININGS else None

    def given(wildcards):
        own = entry.of(getattr(wildcards, trained)) if trained else entry
        return own.on(getattr(wildcards, "dataset", ""))

    if key == "gpu":
        return (
            (lambda wildcards: given(wildcards).gpu) if entry.per_network else entry.gpu
        )
    return lambda wildcards, attempt: getattr(given(wildcards), key) * attempt


preset_on = cache(PRESET.on)


def on(wildcards):
    """The preset as it is on the data set of a job."""
    return preset_on(wildcards.dataset)


def section(table, name, preset=PRESET):
    """A parameter section as plain values, so that Snakemake sees each change and nothing else."""
    return whole(getattr(preset, table)[name])


@cache
def explainer_for(dataset, model, explainer):
    """How a network is explained on a data set."""
    return checked(preset_on(dataset).explainer_of, explainer, model)


def explainer_of(wildcards):
    """How a row's network is explained on its data set."""
    return explainer_for(wildcards.dataset, wildcards.model, wildcards.explainer)


def explainer_section(wildcards):
    """That as plain values."""
    return whole(explainer_of(wildcards))


def whole(entry):
    """A section without its variants, as plain values."""
    return {
        key: value
        for key, value in entry.plain().items()
        if key not in ("per_dataset", "per_model")
    }


def crf(name):
    """A named CRF as plain values, or None."""
    return asdict(PRESET.crf[name]) if name else None


def shards(folder, extension):
    """All shards of a folder of artifacts."""
    escaped = folder.replace("{", "{{").replace("}", "}}")
    return gather.shard(f"{escaped}/{{scatteritem}}.{extension}")
