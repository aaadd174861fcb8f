# Masks as files: of your own pictures (`--config dataset=/path/to/folder -- my_masks`), or of the preset's.


rule export_split:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        masks=own_masks,
    output:
        directory(exported("{dataset}", "{split}")),
    log:
        LAYOUT.log("exports/{dataset}/{split}"),
    benchmark:
        LAYOUT.benchmark("exports/{dataset}/{split}")
    conda:
        "../environment.yml"
    threads: threads_of("export_split")
    resources:
        gpu=resource("export_split", "gpu"),
        mem_mb=resource("export_split", "mem_mb"),
        runtime=resource("export_split", "runtime"),
    params:
        code=code("export_masks"),
        scoring=PRESET.scoring.plain(),
    message:
        "Masks of {wildcards.dataset} {wildcards.split} as files: {output}"
    script:
        "../workflow_scripts/export_masks.py"


rule my_masks:
    input:
        lambda wildcards: exports_of(own_dataset()),


rule export_masks:
    input:
        lambda wildcards: exports_of(
            own_dataset() if config.get("dataset") else PRESET.dataset_for("voc12")
        ),


rule explain_image:
    input:
        unpack(image_inputs),
    output:
        page=f"{LAYOUT.root}/explained/{image_name()}.png",
        maps=f"{LAYOUT.root}/explained/{image_name()}.h5",
    log:
        LAYOUT.log(f"explained/{image_name()}"),
    benchmark:
        LAYOUT.benchmark(f"explained/{image_name()}")
    conda:
        "../environment.yml"
    threads: threads_of("explain_image")
    resources:
        gpu=resource("explain_image", "gpu"),
        mem_mb=resource("explain_image", "mem_mb"),
        runtime=resource("explain_image", "runtime"),
    params:
        code=code(
            "explain_image",
            *modules.every_module_of("explanation method"),
            *modules.network_modules(image_classifier()["network"]),
            *modules.modules_of("loss", image_classifier()["loss"]),
        ),
        network=image_classifier()["network"],
        input=image_classifier()["input"],
        loss=image_classifier()["loss"],
        methods=image_methods(),
        top=3,
    message:
        "Explaining {input.image}: {output.page}"
    script:
        "../workflow_scripts/explain_image.py"
