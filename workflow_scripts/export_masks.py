"""Unpack masks into a folder of palette PNGs."""

from pathlib import Path

from job import job
from seedbed.io.atomic import atomic_directory
from seedbed.io.masks import MaskStore, encode_mask

with job(snakemake), atomic_directory(snakemake.output[0]) as folder:
    for image, mask in MaskStore(snakemake.input.masks).items():
        (Path(folder) / f"{image}.png").write_bytes(encode_mask(mask))
