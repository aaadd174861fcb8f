# From figures and galleries to the files they need.


def panel(names, label, shows, seed):
    """Description of a gallery's column: stored maps or masks, or what explains the pictures on the spot."""
    described = {"label": label, "shows": shows}
    chain = [
        names.get(key)
        for key in ("dataset", "split", "model", "explainer", "refiner", "segmenter")
    ]
    dataset, split, model, explainer, refiner, segmenter = chain
    if shows == "mask":
        described["shards"] = shards(
            LAYOUT.masks(dataset, split, model, explainer, refiner, seed), "zip"
        )
    elif shows == "prediction":
        folder = LAYOUT.segmenter(dataset, model, explainer, refiner, segmenter, seed)
        described["shards"] = shards(f"{folder}/{split}", "zip")
    elif shows == "stored":
        described["shards"] = shards(
            LAYOUT.heatmaps(dataset, split, model, explainer, seed), "h5"
        )
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
    files = (
        path
        for panel in panels
        for path in panel.get("shards", [panel.get("weights")])
        if path
    )
    return list(dict.fromkeys(files))


def gallery_panels(wildcards):
    """Columns of a table's gallery: its rows on the pictures of the first one."""
    cells = measured(wildcards.paper, wildcards.table)
    first, seed = cells[0].measurement, seeds_for(wildcards.paper, wildcards.table)[0]
    labels = {
        row.id: row.label for row in table_of(wildcards.paper, wildcards.table).rows
    }
    kinds = {"heatmaps": "stored", "masks": "mask", "segmentation": "prediction"}
    columns = {}
    for cell in cells:
        part = cell.measurement
        if (part.dataset, part.split, part.subset) == (
            first.dataset,
            first.split,
            first.subset,
        ):
            shows = kinds.get(part.stage, "heatmap")
            columns.setdefault(
                labels[cell.row], panel(asdict(part), labels[cell.row], shows, seed)
            )
    return [
        panel({}, "picture", "image", seed),
        panel({}, "ground truth", "truth", seed),
        *columns.values(),
    ]


def gallery_pictures(wildcards):
    """Data set, split and subset of a table's gallery."""
    first = measured(wildcards.paper, wildcards.table)[0].measurement
    return {"dataset": first.dataset, "split": first.split, "subset": first.subset}


def gallery_index(wildcards):
    """Index of the pictures of the gallery."""
    return LAYOUT.index(
        measured(wildcards.paper, wildcards.table)[0].measurement.dataset
    )


CHART_FIGURES = [
    (paper.id, figure.id)
    for paper in PAPERS.values()
    for figure in paper.figures
    if figure.kind in CHARTS
]


def paper_of_figures(drawn_from_numbers):
    """A regular expression of a paper's id before a figure of either kind: their paths differ in nothing else."""
    names = "|".join(f"{paper}/{figure}" for paper, figure in CHART_FIGURES)
    return rf"(?{'=' if drawn_from_numbers else '!'}(?:{names})\.)\w+"


@cache
def planned_panels(paper, figure):
    """Panels of a figure, resolved for the preset."""
    seeds = seeds_for(paper, figure)
    return checked(
        figure_panels, checked(PAPERS[paper].figure, figure), PRESET, LAYOUT, seeds
    )


def figure_of(paper, figure):
    """Panels of a figure; a clear message if the preset cannot make it."""
    if paper not in PAPERS:
        raise WorkflowError(unknown_name("paper", paper, PAPERS))
    found = planned_panels(paper, figure)
    lacking = missing_of(found)
    if lacking:
        raise WorkflowError(
            f"{paper}_{figure} is not built in preset '{PRESET.name}': it needs {', '.join(lacking)}. "
            "'snakemake help' lists what is built."
        )
    return found


def figure_groups(wildcards):
    """A gallery's groups of rows: their pictures and their columns."""
    planned = figure_of(wildcards.paper, wildcards.figure)
    seed = seeds_for(wildcards.paper, wildcards.figure)[0]
    subjects = PAPERS[wildcards.paper].figure(wildcards.figure).subjects
    groups = {}
    for label in dict.fromkeys(found.group for found in planned):
        own = [found for found in planned if found.group == label]
        for row in list(dict.fromkeys(found.row for found in own if found.row)) or [
            None
        ]:
            pictures = {
                key: own[0].names.get(key) for key in ("dataset", "split", "subset")
            }
            panels = [
                panel(f.names, f.label, f.shows, seed)
                for f in own
                if f.row in (None, row)
            ]
            groups[label, row] = {
                "label": label,
                "row": row,
                "subjects": subjects,
                **pictures,
                "panels": panels,
            }
    return list(groups.values())


def figure_files(wildcards):
    """Files that a gallery is drawn from."""
    return [
        path
        for group in figure_groups(wildcards)
        for path in panel_files(group["panels"])
    ]


def figure_indices(wildcards):
    """Indices of a gallery's data sets, in the order of its groups."""
    return [LAYOUT.index(group["dataset"]) for group in figure_groups(wildcards)]


def chart_metrics(wildcards):
    """Metrics of every bar and curve of a figure, and of every seed."""
    panels = figure_of(wildcards.paper, wildcards.figure)
    return list(dict.fromkeys(path for found in panels for path in found.sources))


def chart_series(wildcards):
    """What its bars and curves are drawn from, as plain values."""
    figure = PAPERS[wildcards.paper].figure(wildcards.figure)
    return [
        series.plain()
        for series in figure_series(
            figure, figure_of(wildcards.paper, wildcards.figure)
        )
    ]


def notes_of_figure(wildcards):
    """What a figure's panels show, in words."""
    names = (wildcards.paper, wildcards.figure)
    return figure_notes(
        PAPERS[names[0]].figure(names[1]), figure_of(*names), PRESET, seeds_for(*names)
    )


def plain_figure(wildcards):
    """A figure as plain values."""
    return PAPERS[wildcards.paper].figure(wildcards.figure).plain()


def figure_title(wildcards):
    """Title of a figure."""
    return PAPERS[wildcards.paper].figure(wildcards.figure).title


def figure_state(paper, figure):
    """Whether the preset makes a figure, for `snakemake help`."""
    return "not built" if missing_of(planned_panels(paper, figure)) else "built"


def built_figures():
    """Figures that the preset can make, as (paper, figure)."""
    return [names for names in FIGURES.values() if figure_state(*names) == "built"]


def built_sections():
    """Finished sections of the full report: paper by paper its tables, then its figures."""
    tables = [(paper, LAYOUT.table(paper, table)) for paper, table in built_tables()]
    figures = [
        (paper, LAYOUT.figure(paper, figure)) for paper, figure in built_figures()
    ]
    return [
        f"{path}.fragment.html"
        for name in PAPERS
        for paper, path in tables + figures
        if paper == name
    ]
