"""What is made from what: from names in parameters and papers to modules, files and jobs; no Snakemake, no torch."""
