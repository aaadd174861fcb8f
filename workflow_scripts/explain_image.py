"""One page with all methods for the top classes of an image of yours, and an HDF5 with the maps."""

import logging

from job import job
from seedbed.data.images import read_picture
from seedbed.data.views import InputView
from seedbed.explain.one_image import as_heatmaps, explain_picture
from seedbed.io.atomic import write_bytes
from seedbed.io.heatmaps import write_heatmaps
from seedbed.io.plain import from_plain
from seedbed.models.published import open_classifier
from seedbed.report.explained import draw_explained
from seedbed.train.objectives import excludes_other_classes

with job(snakemake) as this:
    params = snakemake.params
    image = read_picture(snakemake.input.image)
    model, names = open_classifier(params.network, snakemake.input.get("weights"), snakemake.input.get("classes"))
    explained = explain_picture(
        model,
        image,
        params.methods,
        params.top,
        this.device,
        how=from_plain(InputView, params.input) if params.input else None,
        multi_label=not excludes_other_classes(params.loss),
    )
    for name, reason in explained.refused.items():
        logging.info("left out %s: %s", name, reason)
    record = this.provenance(image=snakemake.input.image)
    write_heatmaps(snakemake.output.maps, as_heatmaps(explained, image.shape[:2]), record, exact=True)
    write_bytes(snakemake.output.page, draw_explained(image, explained, names))
