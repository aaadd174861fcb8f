# Masks that a classifier with a decoder predicts itself: no heat maps, no refiner, no segmentation network.

PREDICTION = LAYOUT.prediction("{dataset}", "{model}", "{split}", "{seed}")


rule predict_masks:
    input:
        unpack(PIPELINE.inputs.predict_masks),
    output:
        f"{PREDICTION}/{{scatteritem}}.zip",
    log:
        LAYOUT.log(f"{PREDICTION}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{PREDICTION}/{{scatteritem}}")
    conda:
        "../environment.yml"
    threads: threads_of("predict_masks")
    resources:
        **resources_of("predict_masks"),
    params:
        **PIPELINE.parameters.predict_masks(),
    message:
        "Masks of {wildcards.dataset} {wildcards.split} predicted by {wildcards.model}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/predict_masks.py"


use rule score_pseudo_masks as score_prediction with:
    input:
        unpack(PIPELINE.inputs.score_prediction),
    output:
        f"{PREDICTION}/metrics.json",
    log:
        LAYOUT.log(f"{PREDICTION}/score"),
    benchmark:
        LAYOUT.benchmark(f"{PREDICTION}/score")
    params:
        **PIPELINE.parameters.score_prediction(),
    message:
        "Scoring the masks that {wildcards.model} predicts on {wildcards.dataset} {wildcards.split}"


use rule pack_submission as pack_prediction with:
    input:
        unpack(PIPELINE.inputs.pack_prediction),
    output:
        archive=f"{PREDICTION}/submission.tgz",
        record=f"{PREDICTION}/submission.json",
    log:
        LAYOUT.log(f"{PREDICTION}/submission"),
    benchmark:
        LAYOUT.benchmark(f"{PREDICTION}/submission")
    params:
        **PIPELINE.parameters.pack_prediction(),
    message:
        "Archive of {wildcards.model} on {wildcards.dataset} {wildcards.split} for the evaluation server"
