"""The preset `small`: VOC alone, with published networks that a laptop trains; every headline table's chain loads."""

from pathlib import Path

import pytest

from seedbed.data.raw.sources import FileSource, TimmSource, load_sources
from seedbed.models import create_model, load_weights
from seedbed.papers import Layout, read_papers, table_cells
from seedbed.params import read_params, resolve
from seedbed.plan.describe import footnotes

REPOSITORY = Path(__file__).parents[2]
PRESET = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": "small"})
TABLES = {
    f"{name}_{table.id}": table for name, paper in read_papers(REPOSITORY / "papers").items() for table in paper.tables
}
CELLS = [cell for name in PRESET.headlines for cell in table_cells(TABLES[name], PRESET, Layout("small"))]
TAGS = {source.tag: source.normalize for source in load_sources().values() if isinstance(source, TimmSource)}


def test_headline_tables_are_measured_on_voc_and_say_what_is_not_run():
    assert {cell.measurement.dataset for cell in CELLS if cell.measurement} == {"voc12"}
    assert {name for cell in CELLS for name in cell.missing} <= {"dataset coco14", "dataset imagenet"}
    assert {cell.row for cell in CELLS if cell.status == "measured"} >= {"ours_affinitynet", "exvit"}


def test_weights_are_published_and_images_normalised_as_they_were_trained():
    sources = load_sources()
    own = {name: PRESET.weights[name] for name in ("vit_tiny", "vit_small_hybrid", "resnet18", "conformer_tiny")}
    assert all(w.tag in TAGS if w.kind == "timm" else isinstance(sources[w.source], FileSource) for w in own.values())
    for name, model in PRESET.models.items():
        tag = getattr(PRESET.weights.get(model.weights), "tag", None)
        as_imagenet = model.train and model.train.loss in ("toco", "weclip", "excel")  # as their code, always
        own = "imagenet" if as_imagenet else TAGS.get(tag)
        assert tag is None or model.input.normalize == own, name


@pytest.mark.parametrize(
    ("section", "name"),
    [
        *(
            ("models", name)
            for name in ("vit_base_voc", "mctformerv2_aream", "exvit", "resnet38_cam", "vgg16_cam", "seam", "sipe")
        ),
        *(("affinity_networks", name) for name in ("psa", "psa_transcam", "psa_vgg16", "psa_seam", "irn")),
        *(("segmenters", name) for name in ("deeplab_v1_resnet38", "deeplab_mctformer_resnet38")),
    ],
)
def test_small_networks_take_the_weights_that_they_start_from(section, name):
    entry = getattr(PRESET, section)[name]
    network = create_model(entry.architecture, 21, **entry.options)
    given, options = create_model(PRESET.weights[entry.weights].tag).state_dict(), dict(entry.weights_options)
    into = options.pop("into", None)
    found = load_weights(network.get_submodule(into) if into else network, given, **options)
    assert len(found.loaded) > len(given) * 0.9


def test_a_folder_in_the_place_of_voc_is_not_comparable(tmp_path):
    given = {"datasets": {"voc12": {"kind": "folder", "path": str(tmp_path)}}}
    replaced = resolve({**read_params(REPOSITORY / "params.yaml"), "preset": "small", **given})
    assert PRESET.comparable and not replaced.comparable
    cells = table_cells(TABLES["exvit_table1"], replaced, Layout("small"))
    notes = footnotes(TABLES["exvit_table1"], cells, replaced)
    assert notes[-1] == "voc12: not the published images, so not comparable with the paper."
