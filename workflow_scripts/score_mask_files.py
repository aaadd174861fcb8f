"""Score masks that were made elsewhere against ground truth."""

from pathlib import Path

from job import job
from seedbed.data.card import read_checksum
from seedbed.data.index import read_index
from seedbed.data.truth_folder import SPLIT, read_truth_folder
from seedbed.evaluate.mask_files import score_mask_files
from seedbed.report.scored_masks import summary, write_scores

with job(snakemake) as this:
    params, described = snakemake.params, snakemake.input.get("index")
    index = read_index(Path(described).parent) if described else read_truth_folder(params.files["truth"])
    records = index.split(params.split if described else SPLIT)
    scores = score_mask_files(index, records, params.files["masks"])
    record = this.provenance(data=read_checksum(index.root) if described else None)
    write_scores(snakemake.output[0], scores, index, records, params.scoring["miou"], record)
    this.show(summary(scores))
