"""Every target with one line."""

from job import job

with job(snakemake):
    print(f"\nTargets of preset '{snakemake.params.preset}' (snakemake --cores all -- TARGET):\n")
    for name, text, state in snakemake.params.targets:
        print(f"  {name:32} {text}{f'  [{state}]' if state else ''}")
    print("\nAnother preset: --config preset=paper. One parameter: --config key=value (params.yaml says how).")
