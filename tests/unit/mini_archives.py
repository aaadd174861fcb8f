"""Miniatures of the published archives, in their true formats and layouts."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import scipy.sparse
from PIL import Image

from seedbed.data.raw.unpack import unpack
from seedbed.io.masks import encode_mask


def jpeg(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return _encoded(Image.fromarray(pixels), "JPEG")


def grey_png(pixels, mode="L"):
    return _encoded(Image.fromarray(pixels).convert(mode), "PNG")


def _encoded(picture, kind):
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def tar(path, files):
    """A tar, or a gzip-compressed one if ``path`` says so, with its folders as members."""
    path = Path(path)
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for name, content in _with_folders(files):
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = (tarfile.DIRTYPE, 0) if content is None else (tarfile.REGTYPE, len(content))
            archive.addfile(entry, io.BytesIO(content or b""))
    return path


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _with_folders(files):
            archive.writestr(f"{name}/" if content is None else name, content or b"")
    return Path(path)


def _with_folders(files):
    seen = set()
    for name, content in files.items():
        for folder in reversed([str(parent) for parent in Path(name).parents if str(parent) != "."]):
            if folder not in seen:
                seen.add(folder)
                yield folder, None
        yield name, content


def mat(name, value):
    """A compressed MATLAB 5 file."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {name: value}, do_compression=True)
    return buffer.getvalue()


def voc_xml(image, size, objects):
    """VOC's annotation; objects are (name, difficult, (xmin, ymin, xmax, ymax)), each with a part, as people have."""
    items = "".join(
        f"<object><name>{name}</name><pose>Left</pose><truncated>0</truncated><difficult>{int(difficult)}</difficult>"
        f"<bndbox><xmax>{box[2]}</xmax><xmin>{box[0]}</xmin><ymax>{box[3]}</ymax><ymin>{box[1]}</ymin></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>"
        for name, difficult, box in objects
    )
    shape = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{image}.jpg</filename>{shape}{items}</annotation>".encode()


def sbd_mat(mask):
    """SBD's class file: the mask, one sparse boundary a class, and the classes present."""
    boundaries = np.empty((20, 1), object)
    for k in range(20):
        edge = np.zeros(mask.shape, bool)
        edge[1:] = (mask[1:] != mask[:-1]) & (mask[1:] == k + 1)
        boundaries[k, 0] = scipy.sparse.csc_matrix(edge)
    present = np.setdiff1d(mask, [0]).astype(np.uint8)[:, None]
    return mat("GTcls", {"Boundaries": boundaries, "Segmentation": mask, "CategoriesPresent": present})


# Four images of VOC (two train, two val) and five of SBD, one of which is VOC train and one VOC val.
VOC_SIZES = {
    "2007_000032": (30, 50),
    "2007_000039": (37, 50),
    "2007_000033": (50, 33),
    "2007_000042": (33, 50),
    "2008_000008": (44, 50),
    "2008_000015": (50, 40),
    "2011_003276": (36, 50),
}
VOC_LISTS = {"train": ["2007_000032", "2008_000008"], "val": ["2007_000033", "2007_000042"]}
SBD_LISTS = {"train": ["2008_000008", "2008_000015", "2007_000039"], "val": ["2011_003276", "2007_000033"]}
VOC_OBJECTS = {
    "2007_000032": [
        ("aeroplane", False, (2, 3, 40, 20)),
        ("person", True, (4, 5, 8, 20)),
        ("person", False, (9, 5, 12, 20)),
    ],
    "2007_000039": [("tvmonitor", False, (10.6, 5, 40, 30.4))],
}


def enlarged(mask, by):
    """A mask whose pixels are squares of ``by`` pixels."""
    return mask.repeat(by, axis=0).repeat(by, axis=1)


def voc_mask(image):
    mask = np.zeros(VOC_SIZES[image], np.uint8)
    mask[5:20, 5:20], mask[20, 5:20] = 1 + int(image[-2:]) % 20, 255
    return mask


def sbd_mask(image):
    mask = np.zeros(VOC_SIZES[image], np.uint8)
    mask[:10, 10:30] = 1 + int(image[-1]) % 20
    return mask


def voc_trainval(path, by=1):
    """The images are ``by`` times as large: affinity networks want 65 pixels."""
    base = "VOCdevkit/VOC2012"
    files = {f"{base}/ImageSets/Segmentation/{name}.txt": _lines(ids) for name, ids in VOC_LISTS.items()}
    for number, (image, (height, width)) in enumerate(VOC_SIZES.items()):
        size = (height * by, width * by)
        files[f"{base}/JPEGImages/{image}.jpg"] = jpeg(*size, seed=number)
        objects = VOC_OBJECTS.get(image, [("dog", False, (1, 1, 9, 9))])
        files[f"{base}/Annotations/{image}.xml"] = voc_xml(image, size, objects)
    for image in [*VOC_LISTS["train"], *VOC_LISTS["val"]]:
        files[f"{base}/SegmentationClass/{image}.png"] = encode_mask(enlarged(voc_mask(image), by))
    return tar(path, files)


def voc_test(path):
    base = "VOCdevkit/VOC2012"
    files = {f"{base}/ImageSets/Segmentation/test.txt": _lines(["2008_000006"])}
    files[f"{base}/JPEGImages/2008_000006.jpg"] = jpeg(31, 41)
    return tar(path, files)


def sbd(path, by=1):
    base = "benchmark_RELEASE/dataset"
    files = {f"{base}/{name}.txt": _lines(ids) for name, ids in SBD_LISTS.items()}
    for image in [*SBD_LISTS["train"], *SBD_LISTS["val"]]:
        files[f"{base}/cls/{image}.mat"] = sbd_mat(enlarged(sbd_mask(image), by))
    return tar(path, files)


def coco_instances(split, images, annotations, categories):
    """The text of an instances file; images are (id, height, width)."""
    listed = [
        {"id": number, "file_name": f"COCO_{split}2014_{number:012d}.jpg", "height": height, "width": width}
        for number, height, width in images
    ]
    content = {"images": listed, "annotations": annotations, "categories": categories}
    return json.dumps(content).encode()


def gtsegs(path, items, broken=()):
    """The HDF5-format MATLAB file of ImageNet-Segmentation: items are (image [H, W, 3], mask [H, W])."""
    with h5py.File(path, "w", userblock_size=512) as file:
        references = {"img": [], "gt": []}
        for number, (picture, mask) in enumerate(items):
            stored = file.create_dataset(f"#refs#/img{number}", data=picture.transpose(2, 1, 0))
            inner = file.create_dataset(f"#refs#/mask{number}", data=mask.T)
            cell = file.create_dataset(f"#refs#/cell{number}", (1, 1), h5py.ref_dtype)
            cell[0, 0] = inner.ref
            references["img"].append(stored.ref)
            references["gt"].append(stored.ref if number in broken else cell.ref)
        for name, values in references.items():
            table = file.create_dataset(f"value/{name}", (len(values), 1), h5py.ref_dtype)
            for number, value in enumerate(values):
                table[number, 0] = value
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64"
    with Path(path).open("r+b") as stream:
        stream.write(head.ljust(116) + bytes(8) + b"\x00\x02IM")
    return Path(path)


def imagenet_devkit(path, synsets, truth):
    """synsets are (number, WordNet id, words, number of children)."""
    kinds = [
        ("ILSVRC2012_ID", object),
        ("WNID", object),
        ("words", object),
        ("gloss", object),
        ("num_children", object),
    ]
    table = np.array([(number, wnid, words, "", children) for number, wnid, words, children in synsets], kinds)
    base = "ILSVRC2012_devkit_t12/data"
    files = {f"{base}/meta.mat": mat("synsets", table[:, None])}
    files[f"{base}/ILSVRC2012_validation_ground_truth.txt"] = _lines(map(str, truth))
    return tar(path, files)


def _lines(texts):
    return "".join(f"{text}\n" for text in texts).encode()


def imagenet_val(path, sizes, folders=None):
    """sizes are (height, width) of images 1, 2, ...; folders, if given, one name an image."""
    names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, len(sizes) + 1)]
    if folders:
        names = [f"{folder}/{name}" for folder, name in zip(folders, names, strict=True)]
    return tar(path, {name: jpeg(*size, seed=k) for k, (name, size) in enumerate(zip(names, sizes, strict=True))})


def imagenet_boxes(path, objects):
    """objects are, for images 1, 2, ..., lists of (WordNet id, box)."""
    files = {}
    for number, items in enumerate(objects, start=1):
        image = f"ILSVRC2012_val_{number:08d}"
        files[f"val/{image}.xml"] = voc_xml(image, (9, 9), [(wnid, False, box) for wnid, box in items])
    return tar(path, files)


def cub_images(path, items):
    """items are (class number from 1, stem, is training, size, (x, y, width, height)); three classes."""
    classes = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"]
    tables = {"images": [], "image_class_labels": [], "train_test_split": [], "bounding_boxes": []}
    files = {"attributes.txt": b"1 x\n"}
    for number, (label, stem, training, size, box) in enumerate(items, start=1):
        file = f"{classes[label - 1]}/{stem}.jpg"
        files[f"CUB_200_2011/images/{file}"] = jpeg(*size, seed=number)
        tables["images"].append(f"{number} {file}")
        tables["image_class_labels"].append(f"{number} {label}")
        tables["train_test_split"].append(f"{number} {int(training)}")
        tables["bounding_boxes"].append(f"{number} " + " ".join(map(str, box)))
    files["CUB_200_2011/classes.txt"] = _lines(f"{k} {name}" for k, name in enumerate(classes, start=1))
    files |= {f"CUB_200_2011/{name}.txt": _lines(rows) for name, rows in tables.items()}
    return tar(path, files)


def into_raw(root, **archives):
    """Unpack archives, by the names of their sources, to where preparing looks for them."""
    for source, archive in archives.items():
        unpack(archive, Path(root) / "raw" / source, progress=False)
    return Path(root)


def bomb(path, size):
    """A gzip-compressed tar with one member of so many zeros."""
    with gzip.open(path, "wb", compresslevel=9) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        entry = tarfile.TarInfo("zeros")
        entry.size = size
        archive.addfile(entry, io.BytesIO(bytes(size)))
    return Path(path)
