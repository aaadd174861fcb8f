"""A data set's card for machines: Croissant 1.1 (MLCommons), as JSON-LD beside the index.

It describes ``index.csv``, ``classes.txt``, the folders of images and masks, and one record an image; loaders that
know Croissant read labels, sizes and files from it without Seedbed.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from seedbed.data.index import DataIndex
from seedbed.io.provenance import file_sha256

NAME = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
_MIME = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".bmp": "image/bmp"}
_COLUMNS = {
    "image": ("sc:Text", "id, unique in the data set"),
    "splits": ("sc:Text", "names of the splits that hold the image, separated by spaces"),
    "labels": ("sc:Text", "names of the classes that the image shows, separated by spaces; may be empty"),
    "path": ("sc:Text", "the image's file, relative to this folder"),
    "mask": ("sc:Text", "its ground truth: a PNG, 0 background, 1.. line of classes.txt, 255 void; may be empty"),
    "height": ("sc:Integer", "pixels"),
    "width": ("sc:Integer", "pixels"),
    "boxes": ("sc:Text", "label:xmin,ymin,xmax,ymax, separated by spaces, 1-based and inclusive; may be empty"),
}
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        term: f"cr:{term}"
        for term in (
            *(
                "arrayShape",
                "citeAs",
                "column",
                "containedIn",
                "equivalentProperty",
                "extract",
                "field",
                "fileProperty",
            ),
            *("fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
            *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
            *("separator", "source", "subField", "transform"),
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}


def croissant(index: DataIndex, card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a prepared data set; ``index.csv`` and ``classes.txt`` must be on disk.

    Args:
        index: the data set.
        card: content of its ``card.json``: name, licence, splits, checksum.
    """
    about = f"Images with image-level labels, prepared by Seedbed. {len(index.classes)} classes; images: "
    counts = ", ".join(f"{split} {entry['images']:,}" for split, entry in card["splits"].items())
    files = [_file(index.root, "index.csv", "text/csv"), _file(index.root, "classes.txt", "text/plain")]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": card["name"],
        "description": f"{about}{counts}.",
        "license": card["licence"],
        "version": f"1.0.0+{card['sha256'][:12]}",
        "distribution": [
            *files,
            *_folders("images", (record.path for record in index.records)),
            *_folders("masks", (record.mask for record in index.records if record.mask)),
        ],
        "recordSet": [
            {"@type": "cr:RecordSet", "@id": "records", "name": "records", "field": list(map(_field, _COLUMNS))}
        ],
    }


def _file(root: Path, name: str, mime: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": mime,
        "sha256": file_sha256(root / name),
    }


def _folders(what: str, paths: Iterable[str]) -> list[dict[str, Any]]:
    """One set of files for each folder and format; files outside the data set's folder are named by the index alone."""
    patterns = {
        (str(PurePosixPath(path).parent), PurePosixPath(path).suffix)
        for path in paths
        if not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts
    }
    return [
        {
            "@type": "cr:FileSet",
            "@id": what if number == 0 else f"{what}_{number}",
            "name": what if number == 0 else f"{what}_{number}",
            "encodingFormat": _MIME.get(suffix.lower(), "application/octet-stream"),
            "includes": f"{folder}/*{suffix}",
        }
        for number, (folder, suffix) in enumerate(sorted(patterns))
    ]


def _field(column: str) -> dict[str, Any]:
    kind, text = _COLUMNS[column]
    source = {"fileObject": {"@id": "index.csv"}, "extract": {"column": column}}
    return {
        "@type": "cr:Field",
        "@id": f"records/{column}",
        "name": column,
        "description": text,
        "dataType": kind,
        "source": source,
    }
