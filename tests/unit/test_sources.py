"""The table of sources: it fits its schema, and mistakes in it are named by entry and key."""

import re

import pytest
import yaml

from seedbed.data.published import coco14, cub200, imagenet, imagenet_segmentation, voc12
from seedbed.data.raw.sources import TABLE, FileSource, TimmSource, load_sources
from seedbed.errors import ParameterError
from seedbed.params import data as parameters

ENTRY = {"kind": "archive", "dataset": "d", "version": "1", "file": "a.tar", "urls": ["http://a.example/a.tar"]}
DATASET = {"title": "D", "licence": "free", "page": "http://d.example/"}


def table(tmp_path, entries, datasets=None):
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"datasets": datasets or {"d": DATASET}, "sources": entries}))
    return path


def test_the_table_fits_and_covers_every_published_data_set():
    sources = load_sources()
    kinds = set(parameters.Published.model_fields["kind"].annotation.__args__)
    assert set(sources.datasets) == kinds
    for dataset in kinds:
        assert any(not source.optional for source in sources.of_dataset(dataset))
    assert all(len(source.urls) > 0 or source.manual for source in sources.values() if isinstance(source, FileSource))


def test_sizes_and_checksums_are_the_published_ones():
    voc = load_sources().file("voc12_trainval")
    assert (voc.bytes, voc.md5) == (1999639040, "6cd6e144f989b92b3379bac3b3de84fd")
    sbd = load_sources().file("sbd")
    assert (sbd.bytes, sbd.md5) == (1419539633, "82b4d87ceb2ed10f6038a1cba92111cb")
    assert load_sources().file("coco14_train").sha256.startswith("ede4087e")


def test_file_names_are_unique():
    files = [source.file for source in load_sources().values() if isinstance(source, FileSource)]
    assert len(set(files)) == len(files)


def test_preparing_looks_where_unpacking_puts_the_archives():
    expected = {
        "voc12_trainval": voc12.VOC,
        "voc12_test": voc12.TEST,
        "sbd": voc12.SBD,
        "coco14_train": coco14.IMAGES["train"],
        "coco14_val": coco14.IMAGES["val"],
        "coco14_annotations": coco14.INSTANCES["val"].rpartition("/")[0],
        "imagenet_val": imagenet.IMAGES,
        "imagenet_devkit": imagenet.DEVKIT.removesuffix("/data"),
        "imagenet_val_boxes": imagenet.BOXES,
        "cub200_images": cub200.CUB,
        "cub200_segmentations": cub200.SEGMENTATIONS,
    }
    sources = load_sources()
    for name, folder in expected.items():
        assert f"raw/{name}/{sources.file(name).prefix}".rstrip("/") == folder
    truth = sources.file("imagenet_segmentation_truth")
    assert f"raw/{truth.name}/{truth.file}" == imagenet_segmentation.SOURCE


def test_names_of_torch_files_hold_the_first_digits_of_their_checksum():
    source = load_sources().file("conformer_small_mmpretrain")
    assert re.search(r"-([0-9a-f]{8})\.pth$", source.file)[1] == source.sha256_prefix


def test_timm_weights_are_listed_with_tag_and_preprocessing():
    weights = load_sources()["vit_base_224"]
    assert isinstance(weights, TimmSource)
    assert (weights.tag, weights.normalize) == ("vit_base_patch16_224.orig_in21k_ft_in1k", "half")


def test_a_mirror_is_one_line(tmp_path):
    text = TABLE.read_text()
    first = load_sources().file("sbd").urls[0]
    (tmp_path / "sources.yaml").write_text(text.replace(f"- {first}\n", f"- {first}\n      - http://m.example/b.tgz\n"))
    assert load_sources(tmp_path / "sources.yaml").file("sbd").urls == (first, "http://m.example/b.tgz")


def test_licence_and_page_come_from_the_data_set(tmp_path):
    source = load_sources(table(tmp_path, {"x": ENTRY})).file("x")
    assert (source.licence, source.page) == ("free", "http://d.example/")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"byts": 3}, r"sources\.x\.byts: unknown key\. Did you mean 'bytes'\?"),
        ({"bytes": "many"}, r"sources\.x\.bytes: .*'many'"),
        ({"bytes": 0}, r"sources\.x\.bytes: .*greater than 0"),
        ({"sha256": "abc"}, r"sources\.x\.sha256: .*'abc'"),
        ({"kind": "folder"}, r"sources\.x: .*'folder'"),
        ({"urls": []}, r"sources\.x: needs at least one address"),
        ({"urls": ["ftp://a.example/a"]}, r"sources\.x\.urls\.0: .*'ftp://a.example/a'"),
        ({"urls": ENTRY["urls"] * 2}, r"sources\.x: lists an address .*twice"),
        ({"manual": True}, r"sources\.x: is manual, so it needs 'instructions'"),
        ({"file": "../a.tar"}, r"sources\.x\.file: must be a plain file name"),
        ({"prefix": "/etc"}, r"sources\.x\.prefix: '/etc' must be a relative path"),
        ({"contains": {"../*": 1}}, r"sources\.x\.contains: '\.\./\*' must be a relative path"),
        ({"dataset": "dd"}, r"sources\.x\.dataset: Unknown data set 'dd'\. Did you mean 'd'\?"),
    ],
)
def test_a_mistake_is_named_by_entry_and_key(tmp_path, change, message):
    with pytest.raises(ParameterError, match=message):
        load_sources(table(tmp_path, {"x": ENTRY | change}))


def test_every_mistake_is_listed(tmp_path):
    path = table(tmp_path, {"x": ENTRY | {"dataset": "e", "md5": "1"}, "y": {}}, {"d": {"title": "D"}, "e": DATASET})
    with pytest.raises(ParameterError) as caught:
        load_sources(path)
    for place in ("datasets.d.licence", "datasets.d.page", "sources.x.md5", "sources.y"):
        assert place in str(caught.value)


@pytest.mark.parametrize("text", ["- 1", "sources: {}", "a: [", "datasets: {}\nsources: 3"])
def test_a_file_that_is_no_table_is_an_error(tmp_path, text):
    (tmp_path / "sources.yaml").write_text(text)
    with pytest.raises(ParameterError, match=r"sources\.yaml"):
        load_sources(tmp_path / "sources.yaml")


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ParameterError, match="Did you mean 'voc12_trainval'"):
        load_sources().file("voc_trainval")
    with pytest.raises(ParameterError, match="Did you mean 'coco14'"):
        load_sources().of_dataset("coco")
    with pytest.raises(ParameterError, match="no such table"):
        load_sources("/nowhere.yaml")
