# The pipeline as a library object, and what rules ask it for. What it says is in seedbed.plan.

from pathlib import Path

from seedbed.data.raw.sources import TABLE as TABLE_OF_SOURCES
from seedbed.data.raw.sources import load_sources
from seedbed.papers import Layout, read_papers
from seedbed.params import resolve
from seedbed.params.absent_values import AbsentValues
from seedbed.plan import Pipeline
from seedbed.plan.command import file_command, names_as_written
from seedbed.plan.own_preset import with_defaults

config = names_as_written(config, TYPED, parse_config)  # Snakemake reads 007 as a number
config = said(with_defaults)(BASE / "params.yaml", config)
PRESET = said(resolve)(config)
LAYOUT = Layout(PRESET.name)
PIPELINE = Said(
    said(Pipeline)(
        PRESET,
        said(read_papers)(BASE / "papers"),
        LAYOUT,
        said(load_sources)(config.get("sources") or TABLE_OF_SOURCES),
        config=config,
        base=BASE,
        command=file_command(TYPED, FILES, BASE.resolve()),
        absent=AbsentValues.read(BASE / "schemas" / "params.schema.json"),
    )
)

if workflow.is_main_process:  # jobs plan again what has been checked
    PIPELINE.check()

threads_of = PIPELINE.resources.threads
resources_of = PIPELINE.resources.of
names_of = PIPELINE.names.of_kind
networks = PIPELINE.names.networks


wildcard_constraints:
    source=r"\w+",
    dataset=r"[\w.-]+",
    split=r"[\w-]+",
    prompts=r"\w+",
    model=r"[\w.-]+",
    explainer=r"[\w-]+",
    refiner=r"[\w-]+",
    network=r"[\w-]+",
    segmenter=r"[\w-]+",
    seed=r"\d+",
    scatteritem=r"\d+-of-\d+",
