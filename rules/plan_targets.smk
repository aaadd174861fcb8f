# The named targets: what each is, and how much of it the preset makes.


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
        ("archive", "tables with all they were computed from, as zips to deposit: --config of=exvit_table1", ""),
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
