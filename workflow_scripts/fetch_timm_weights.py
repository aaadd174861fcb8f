"""Keep weights that timm publishes, held to the lock of data, and stamp them."""

from pathlib import Path

from job import job
from seedbed.data.raw.stamp import stamped_file, write_stamp
from seedbed.models.published import keep_timm_weights

with job(snakemake):
    tag, stamp = snakemake.wildcards.tag, snakemake.output[0]
    made = Path("data/weights")
    pin = keep_timm_weights(tag, stamped_file(stamp), lock_file=snakemake.params.lock, made=made)
    write_stamp(stamp, f"timm/{tag}", pin)
