"""The preset `paper`: complete, and each network explained as its own weights were trained."""

from pathlib import Path

import pytest

from seedbed.data.raw.sources import FileSource, TimmSource, load_sources
from seedbed.data.transforms import build_transform
from seedbed.explain.method_registry import implementation_for
from seedbed.models import create_model
from seedbed.papers import Layout, read_papers, table_cells
from seedbed.papers.figures import figure_panels
from seedbed.params import read_params, resolve
from seedbed.train.objectives import build_objective
from seedbed.train.settings import TrainSettings

REPOSITORY = Path(__file__).parents[2]
PRESET = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": "paper"})
SHIPPED = ("exvit", "vit_affinity", "aream", "agcam")
"""The papers that are reproduced; yours need not be complete in this preset."""
PAPERS = {name: paper for name, paper in read_papers(REPOSITORY / "papers").items() if name in SHIPPED}
LAYOUT = Layout("paper")
CELLS = [c for paper in PAPERS.values() for t in paper.tables for c in table_cells(t, PRESET, LAYOUT)]
PANELS = [p for paper in PAPERS.values() for figure in paper.figures for p in figure_panels(figure, PRESET, LAYOUT)]


def used(section):
    """Names of the entries of a section that the papers' cells are measured with."""
    chains = [vars(cell.measurement) for cell in CELLS if cell.measurement]
    refiners = [PRESET.refiners[chain["refiner"]] for chain in chains if chain.get("refiner")]
    found = {
        "models": {chain.get("model") for chain in chains},
        "segmenters": {chain.get("segmenter") for chain in chains},
        "affinity_networks": {getattr(refiner, "network", None) for refiner in refiners},
    }
    return found[section] & set(getattr(PRESET, section))


def explained():
    """Every (data set, network, explainer) that a table or a figure shows."""
    chains = [vars(cell.measurement) for cell in CELLS if cell.measurement] + [panel.names for panel in PANELS]
    return sorted({(c["dataset"], c["model"], c["explainer"]) for c in chains if c.get("explainer") and c.get("model")})


def test_every_cell_and_panel_has_all_it_needs():
    lacking = {name for item in (*CELLS, *PANELS) for name in item.missing}
    assert {name for name in lacking if not name.startswith("the test images of voc12")} == set()


@pytest.mark.parametrize("section", ["models", "affinity_networks", "segmenters"])
def test_training_sections_build(section):
    for dataset in PRESET.datasets:
        for name, entry in getattr(PRESET.on(dataset), section).items():
            if entry.train is not None:
                build_transform(entry.train.augment, entry.input.normalize)
                assert isinstance(entry.train, TrainSettings)
                if section == "models":
                    build_objective(entry.train.loss, **entry.train.loss_options)
                starts = entry.weights or getattr(entry, "starts_from", None)
                assert starts or name not in used(section), name


@pytest.mark.parametrize("section", ["models", "affinity_networks", "segmenters"])
def test_trainings_of_hours_save_their_state_every_ten_minutes(section):
    """A gigabyte a minute would keep a GPU waiting; the demo's trainings last a minute and save each."""
    demo = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": "demo"})
    for preset, seconds in ((PRESET, 600), (demo, 60)):
        entries = [entry for name, entry in getattr(preset, section).items() if name in used(section)]
        assert {entry.train.save_every_seconds for entry in entries if entry.train is not None} == {seconds}


def test_weights_are_in_the_table_of_sources_with_their_own_normalisation():
    sources = load_sources()
    tags = {source.tag: source.normalize for source in sources.values() if isinstance(source, TimmSource)}
    for name, weights in PRESET.weights.items():
        assert weights.tag in tags if weights.kind == "timm" else isinstance(sources[weights.source], FileSource), name
    for name in used("models"):
        model = PRESET.models[name]
        weights = PRESET.weights[PRESET.models[model.starts_from or name].weights]
        as_published = name in ("weclip", "excel")  # CLIP's tower, shown images normalised as ImageNet's
        if weights.kind == "timm" and not as_published:
            assert model.input.normalize == tags[weights.tag], name


def test_exvit_has_sixteen_attributes_on_coco_and_eight_on_voc():
    for dataset, attributes, steps in (("voc12", 8, 40000), ("coco14", 16, 80000)):
        model = PRESET.on(dataset).models["exvit"]
        assert (model.options["num_attributes"], model.train.iterations) == (attributes, steps)
    fixed = PRESET.on("coco14").models["exvit_c256_s8"]
    assert (fixed.options["num_attributes"], fixed.train.batch_size) == (8, 8)


@pytest.mark.slow
def test_every_network_can_be_explained_as_the_tables_ask():
    models = {}
    for dataset, model, explainer in explained():
        entry = PRESET.on(dataset).models[model]
        key = (entry.architecture, str(entry.options))
        models[key] = models.get(key) or create_model(entry.architecture, entry.num_classes or 20, **entry.options)
        found = PRESET.on(dataset).explainer_of(explainer, model)
        assert found.input.normalize == entry.input.normalize
        implementation_for(models[key], found.method).check_options(found.method, found.options)
