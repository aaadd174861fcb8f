# From the tables to the files they need.

import csv
from dataclasses import asdict


def table_of(paper, table):
    """The table that a target asks for."""
    if paper not in PAPERS:
        raise WorkflowError(unknown_name("paper", paper, PAPERS))
    return checked(PAPERS[paper].table, table)


def seeds_for(paper, target):
    """Seeds of a table or figure."""
    return PRESET.seeds_for(f"{paper}_{target}")


@cache
def cells_of(paper, table):
    """Every cell of a table, resolved for the preset."""
    return checked(table_cells, table_of(paper, table), PRESET, LAYOUT, seeds_for(paper, table))


def measured(paper, table):
    """The cells that are measured; a clear message if the preset can make none."""
    cells = cells_of(paper, table)
    found = [cell for cell in cells if cell.sources]
    if not found:
        raise WorkflowError(
            f"{paper}_{table} is not built in preset '{PRESET.name}': it needs {', '.join(missing_names(cells))}. "
            "'snakemake help' lists what is built."
        )
    return found


def metrics_files(wildcards):
    """Metrics of every measured cell and seed."""
    cells = measured(wildcards.paper, wildcards.table)
    return list(dict.fromkeys(path for cell in cells for path in cell.sources))


def named_histories(wildcards):
    """Training histories behind the first seed of every measured cell: network -> path."""
    cells = measured(wildcards.paper, wildcards.table)
    seed = seeds_for(wildcards.paper, wildcards.table)[0]
    found = (histories(cell.measurement, PRESET, LAYOUT, seed) for cell in cells)
    return {name: path for named in found for name, path in named.items()}


def history_files(wildcards):
    """Their paths."""
    return list(named_histories(wildcards).values())


def checkpoint_files(wildcards):
    """Records of the published checkpoints behind a table."""
    cells = measured(wildcards.paper, wildcards.table)
    seed = seeds_for(wildcards.paper, wildcards.table)[0]
    found = (checkpoint_records(cell.measurement, PRESET, LAYOUT, seed) for cell in cells)
    return list(dict.fromkeys(path for records in found for path in records))


def submission_files(wildcards):
    """Archives for the evaluation server that a table asks for and the preset can make."""
    cells = cells_of(wildcards.paper, wildcards.table)
    return list(dict.fromkeys(cell.archive for cell in cells if cell.archive))


def required_submissions(paper, table):
    """The same; a clear message if there are none."""
    cells = [cell for cell in cells_of(paper, table) if cell.status != "cited"]
    found = list(dict.fromkeys(cell.archive for cell in cells if cell.archive))
    if not found:
        lacking = missing_names(cell for cell in cells if cell.column in submitted_columns(paper, table))
        raise WorkflowError(f"{paper}_{table}_submission needs {', '.join(lacking)}.")
    return found


def submitted_columns(paper, table):
    """Columns of a table that only an evaluation server can fill."""
    return [column.id for column in table_of(paper, table).columns if column.pipeline.get("metric") == "submission"]


def plain_cells(paper, table):
    """Every cell of a table as plain values."""
    return [asdict(cell) for cell in cells_of(paper, table)]


def footnotes_of(paper, table):
    """What each measured number stands for, in words."""
    return footnotes(table_of(paper, table), cells_of(paper, table), PRESET, seeds_for(paper, table))


def panel(names, label, shows, seed):
    """Description of a gallery's column: stored maps or masks, or what explains the pictures on the spot."""
    described = {"label": label, "shows": shows}
    chain = [names.get(key) for key in ("dataset", "split", "model", "explainer", "refiner", "segmenter")]
    dataset, split, model, explainer, refiner, segmenter = chain
    if shows == "mask":
        described["shards"] = shards(LAYOUT.masks(dataset, split, model, explainer, refiner, seed), "zip")
    elif shows == "prediction":
        folder = LAYOUT.segmenter(dataset, model, explainer, refiner, segmenter, seed)
        described["shards"] = shards(f"{folder}/{split}", "zip")
    elif shows == "stored":
        described["shards"] = shards(LAYOUT.heatmaps(dataset, split, model, explainer, seed), "h5")
    elif shows not in ("image", "truth"):
        described["weights"] = weights_of(dataset, model, seed)
        described["network"] = network_of(model, dataset)
        if explainer:
            described["explainer"] = whole(explainer_for(dataset, model, explainer))
        else:
            described["input"] = preset_on(dataset).models[model].input.plain()
    return described


def panel_files(panels):
    """Files that columns are drawn from."""
    files = (path for panel in panels for path in panel.get("shards", [panel.get("weights")]) if path)
    return list(dict.fromkeys(files))


def gallery_panels(wildcards):
    """Columns of a table's gallery: its rows on the pictures of the first one."""
    cells = measured(wildcards.paper, wildcards.table)
    first, seed = cells[0].measurement, seeds_for(wildcards.paper, wildcards.table)[0]
    labels = {row.id: row.label for row in table_of(wildcards.paper, wildcards.table).rows}
    kinds = {"heatmaps": "stored", "masks": "mask", "segmentation": "prediction"}
    columns = {}
    for cell in cells:
        part = cell.measurement
        if (part.dataset, part.split, part.subset) == (first.dataset, first.split, first.subset):
            shows = kinds.get(part.stage, "heatmap")
            columns.setdefault(labels[cell.row], panel(asdict(part), labels[cell.row], shows, seed))
    return [panel({}, "picture", "image", seed), panel({}, "ground truth", "truth", seed), *columns.values()]


def gallery_pictures(wildcards):
    """Data set, split and subset of a table's gallery."""
    first = measured(wildcards.paper, wildcards.table)[0].measurement
    return {"dataset": first.dataset, "split": first.split, "subset": first.subset}


def gallery_index(wildcards):
    """Index of the pictures of the gallery."""
    return LAYOUT.index(measured(wildcards.paper, wildcards.table)[0].measurement.dataset)


def row_parameters(cell):
    """The parameter sections behind a row, by name."""
    names = {key: getattr(cell.measurement, key) for key in ("model", "explainer", "refiner", "segmenter")}
    preset = preset_on(cell.measurement.dataset)
    sections = {f"{key}s.{name}": section(f"{key}s", name, preset) for key, name in names.items() if name}
    walked = getattr(PRESET.refiners.get(names["refiner"]), "network", None)
    if walked:
        sections[f"affinity_networks.{walked}"] = section("affinity_networks", walked, preset)
    chain = {key: value for key, value in asdict(cell.measurement).items() if value}
    return {"pipeline": chain, "dataset": section("datasets", cell.measurement.dataset), **sections}


def tracked_rows(wildcards):
    """What is logged of each measured row: parameters, metrics files by column, histories."""
    rows, seed = {}, seeds_for(wildcards.paper, wildcards.table)[0]
    for cell in measured(wildcards.paper, wildcards.table):
        row = rows.setdefault(cell.row, {"parameters": row_parameters(cell), "sources": {}, "histories": {}})
        row["sources"][cell.column] = {"metric": cell.measurement.metric, "files": list(cell.sources)}
        row["histories"] |= histories(cell.measurement, PRESET, LAYOUT, seed)
    return rows


def built_state(paper, table):
    """How much of a table the preset makes, for `snakemake help`."""
    cells = [cell for cell in cells_of(paper, table) if cell.status != "cited"]
    missing = [cell for cell in cells if cell.missing]
    if len(missing) == len(cells):
        return "not built"
    return "built" if not missing else f"partly built: {len(cells) - len(missing)} of {len(cells)} measured cells"


def submission_state(paper, table):
    """Whether the preset packs a table's predictions, for `snakemake help`."""
    return "built" if any(cell.archive for cell in cells_of(paper, table)) else "not built"


def described_targets():
    """Every target with one line, and for tables and figures how much of it the preset makes."""
    tables = [(paper, table) for paper in PAPERS.values() for table in paper.tables]
    figures = [(paper, figure) for paper in PAPERS.values() for figure in paper.figures]
    return [
        ("headlines", "the default: each paper's headline table that is built, and the report", ""),
        ("status", "what is done, running and left of a target: --config of=exvit_table1; starts no work", ""),
        ("cost", "jobs, GPU-hours and disk that a target would take: --config of=exvit_table1; starts no work", ""),
        ("all_tables", "every table that is built, and one report of them all", ""),
        ("my_masks", "masks for your own pictures: --config dataset=/path/to/folder", ""),
        ("export_masks", "masks of VOC, or of its stand-in, as palette PNGs and COCO's run lengths", ""),
        ("explain_image", "all methods on one picture: --config image=cat.jpg model=vit_base methods=all", ""),
        ("rebuild_weights", "train the shipped weights from nothing and compare: takes about half an hour", ""),
        *((f"{paper.id}_{table.id}", table.title, built_state(paper.id, table.id)) for paper, table in tables),
        *(
            (
                f"{paper.id}_{table.id}_submission",
                "predictions packed for the evaluation server",
                submission_state(paper.id, table.id),
            )
            for paper, table in tables
            if submitted_columns(paper.id, table.id)
        ),
        *((f"{paper.id}_{figure.id}", figure.title, figure_state(paper.id, figure.id)) for paper, figure in figures),
    ]


def built_tables():
    """Tables that the preset can make, as (paper, table)."""
    return [names for names in TABLES.values() if any(cell.sources for cell in cells_of(*names))]


def headline_tables():
    """The headline tables among them: what plain `snakemake` makes."""
    built = built_tables()
    return [TABLES[name] for name in PRESET.headlines if TABLES[name] in built]


def table_files(tables, suffix):
    """Files of tables, such as all fragments."""
    return [f"{LAYOUT.table(paper, table)}{suffix}" for paper, table in tables]


def run_parameters():
    """The whole preset but for resources, which change no result."""
    return {key: value for key, value in PRESET.plain().items() if key != "resources"}


def report_path(name="report"):
    """The headline report, or the full one."""
    return f"{LAYOUT.root}/{name}.html"


def own_dataset():
    """Name of the data set that `--config dataset=...` gives; a clear message if it gives none."""
    if not config.get("dataset"):
        raise WorkflowError("my_masks needs your pictures: --config dataset=/path/to/folder (see docs/own_data.md).")
    return own_name(config["dataset"])


def own_masks():
    """Folders of unpacked masks of your pictures, one a split."""
    dataset = own_dataset()
    return [exported(split).format(dataset=dataset) for split in own_splits()]


def own_tables(folder):
    """What describes your pictures: a change of it indexes them anew."""
    tables = ("labels.csv", "classes.txt", "annotations/*.json", "ImageSets/*/*.txt")
    places = ("", "*/", "VOCdevkit/*/")  # as deep as VOC's layout may lie; not into the pictures
    found = {path for place in places for table in tables for path in Path(folder).glob(f"{place}{table}")}
    return sorted(map(str, found))


def own_splits():
    """Splits that your pictures' labels.csv names; both for the other layouts."""
    table = Path(config["dataset"]) / "labels.csv"
    if not table.is_file():
        return ["train", "val"]
    with table.open(newline="", encoding="utf-8-sig") as stream:
        named = {(row.get("split") or "").strip() for row in csv.DictReader(stream)}
    return [split for split in ("train", "val") if split in named]


def exported(dataset, split):
    """Folder of one split's masks as files."""
    return f"{LAYOUT.root}/exports/{dataset}/{split}"


def exports_of(dataset):
    """Folders of every split that is exported of a data set."""
    splits = own_splits() if config.get("dataset") else ["train", "val"]
    return [exported(dataset, split) for split in splits]


def own_masks(wildcards):
    """Masks by the chain that `own` in the parameters names."""
    names = (PRESET.own.model, PRESET.own.explainer, PRESET.own.refiner, PRESET.seeds[0])
    return shards(LAYOUT.masks(wildcards.dataset, wildcards.split, *names), "zip")


def image_name():
    """Name of the page that explains `--config image=...`."""
    return f"{Path(str(config.get('image', 'image'))).stem}_{config.get('model', 'vit_base')}"


def image_network():
    """Network that explains it: one of the preset's, or any timm classifier by name."""
    model = config.get("model", "vit_base")
    if model in PRESET.models:
        return network_of(model, PRESET.dataset_for("imagenet"))
    return {"architecture": model, "options": {}}


def image_methods():
    """Methods to show, from `--config methods=...`: `all`, one name, or a list."""
    chosen = config.get("methods", "all")
    return chosen.split(",") if isinstance(chosen, str) else list(chosen)


def image_inputs(wildcards):
    """The picture, and weights and class names where the preset has them."""
    if not config.get("image"):
        raise WorkflowError("explain_image needs a picture: --config image=cat.jpg, and perhaps model=... methods=...")
    files, model = {"image": config["image"]}, config.get("model", "vit_base")
    if model in PRESET.models:
        dataset = PRESET.dataset_for("imagenet")
        files["weights"] = weights_of(dataset, model, PRESET.seeds[0])
        if not PRESET.comparable:  # the stand-in's own classes
            files["classes"] = str(Path(LAYOUT.index(dataset)).with_name("classes.txt"))
    return files
