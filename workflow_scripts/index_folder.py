"""Check and index a folder of your own images, without copying them."""

from pathlib import Path

from job import job
from seedbed.data.card import write_card
from seedbed.data.index import linked_folder, write_index
from seedbed.data.own import read_own
from seedbed.data.own_source import write_record

with job(snakemake) as this:
    root, remarks = Path(snakemake.output.index).parent, []
    source = linked_folder(root)
    side = snakemake.params.longest_side
    index = read_own(source, root, workers=snakemake.threads, say=remarks.append, longest_side=side)
    for remark in remarks:
        this.say(remark)
    write_index(index)
    write_card(index, snakemake.wildcards.dataset, "your own", {"remarks": remarks})
    write_record(root, source)
