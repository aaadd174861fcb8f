"""An entry of the parameters as it is once all has been merged, and where each of its values is from."""

from job import job
from seedbed.params import resolve
from seedbed.params.origins import layers, lines_of, values_of

with job(snakemake):
    asked, preset = snakemake.params, resolve(snakemake.config)
    found = values_of(asked.of, preset, layers(preset.name, asked.files, asked.overrides))
    print(f"\n{asked.of} in preset '{preset.name}':\n")
    print("\n".join(lines_of(found)))
