# Masks as files, of your own images (`--config dataset=FOLDER -- my_masks`) or the preset's, and scores of such files.


rule export_split:
    input:
        unpack(PIPELINE.own.export_inputs),
    output:
        directory(LAYOUT.exports("{dataset}", "{split}")),
    log:
        LAYOUT.log("exports/{dataset}/{split}"),
    benchmark:
        LAYOUT.benchmark("exports/{dataset}/{split}")
    conda:
        "../environment.yml"
    threads: threads_of("export_split")
    resources:
        **resources_of("export_split"),
    params:
        **PIPELINE.own.export_parameters(),
    message:
        "Masks of {wildcards.dataset} {wildcards.split} as files: {output}"
    script:
        "../workflow_scripts/export_masks.py"


rule my_masks:
    input:
        lambda wildcards: PIPELINE.own.masks(),


rule export_masks:
    input:
        lambda wildcards: PIPELINE.own.exports(),


rule score_masks:
    input:
        unpack(PIPELINE.scored.inputs),
    output:
        directory(PIPELINE.scored.folder),
    log:
        LAYOUT.log(PIPELINE.scored.folder),
    benchmark:
        LAYOUT.benchmark(PIPELINE.scored.folder)
    conda:
        "../environment.yml"
    threads: threads_of("score")
    resources:
        **resources_of("score"),
    params:
        **PIPELINE.scored.parameters(),
    message:
        "Scoring masks made elsewhere: {output}"
    script:
        "../workflow_scripts/score_mask_files.py"


rule explain_image:
    input:
        unpack(PIPELINE.image.inputs),
    output:
        page=f"{PIPELINE.image.page}.png",
        maps=f"{PIPELINE.image.page}.h5",
    log:
        LAYOUT.log(PIPELINE.image.page),
    benchmark:
        LAYOUT.benchmark(PIPELINE.image.page)
    conda:
        "../environment.yml"
    threads: threads_of("explain_image")
    resources:
        **resources_of("explain_image"),
    params:
        **PIPELINE.image.parameters(),
    message:
        "Explaining {input.image}: {output.page}"
    script:
        "../workflow_scripts/explain_image.py"
