"""The named targets: what each is, and how much of it the preset makes."""

from seedbed.plan.planned_figures import PlannedFigures
from seedbed.plan.planned_tables import PlannedTables

GENERAL = (
    ("headlines", "the default: each paper's headline table that is built, and the report"),
    ("status", "what is done, running and left of a target: --config of=exvit_table1; starts no work"),
    ("cost", "jobs, GPU-hours and disk that a target would take: --config of=exvit_table1; starts no work"),
    ("params", "an entry of the parameters, and where each value is from: --config of=models.exvit_dis"),
    ("all_tables", "every table that is built, and one report of them all"),
    ("my_masks", "masks for your own images: --config dataset=/path/to/folder"),
    ("export_masks", "masks of VOC, or of its stand-in, as palette PNGs and COCO's run lengths"),
    ("score_masks", "masks made elsewhere against the truth: --config masks=FOLDER dataset=voc12 split=val"),
    ("evidence", "what the pipeline does on real photographs: --config preset=small samples=/path/to/folder"),
    ("explain_image", "all methods on one image: --config image=cat.jpg model=vit_base methods=all"),
    ("archive", "tables with all they were computed from, as zips to deposit: --config of=exvit_table1"),
    ("rebuild_weights", "train the shipped weights from nothing and compare: takes about half an hour"),
)


def described_targets(tables: PlannedTables, figures: PlannedFigures) -> list[tuple[str, str, str]]:
    """Every target with one line, and for tables and figures how much of it the preset makes."""
    papers = tables.papers.values()
    every = [(paper.id, table) for paper in papers for table in paper.tables]
    submitted = [(paper, table) for paper, table in every if tables.submitted(paper, table.id)]
    packed = "predictions packed for the evaluation server"
    drawn = [(paper.id, figure) for paper in papers for figure in paper.figures]
    return [
        *((name, text, "") for name, text in GENERAL),
        *((f"{paper}_{table.id}", table.title, tables.state(paper, table.id)) for paper, table in every),
        *((f"{p}_{t.id}_submission", packed, tables.submission_state(p, t.id)) for p, t in submitted),
        *((f"{paper}_{figure.id}", figure.title, figures.state(paper, figure.id)) for paper, figure in drawn),
    ]
