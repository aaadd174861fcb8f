# Texts of a data set's classes, and pretrained networks whose classes they are.


rule encode_texts:
    input:
        unpack(PIPELINE.inputs.encode_texts),
    output:
        LAYOUT.texts("{dataset}", "{prompts}"),
    log:
        LAYOUT.log("texts/{dataset}-{prompts}"),
    benchmark:
        LAYOUT.benchmark("texts/{dataset}-{prompts}")
    conda:
        "../environment.yml"
    threads: threads_of("encode_texts")
    resources:
        **resources_of("encode_texts"),
    params:
        **PIPELINE.parameters.encode_texts(),
    message:
        "Encoding the texts {wildcards.prompts} of {wildcards.dataset}"
    script:
        "../workflow_scripts/encode_texts.py"


rule describe_classifier:
    input:
        unpack(PIPELINE.inputs.describe_classifier),
    output:
        f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/model.safetensors",
    log:
        LAYOUT.log(LAYOUT.classifier("{dataset}", "{model}", "{seed}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.classifier("{dataset}", "{model}", "{seed}"))
    wildcard_constraints:
        model=PIPELINE.names.described(),
    conda:
        "../environment.yml"
    threads: threads_of("describe_classifier")
    resources:
        **resources_of("describe_classifier"),
    params:
        **PIPELINE.parameters.describe_classifier(),
    message:
        "Giving {wildcards.model} the texts of {wildcards.dataset}"
    script:
        "../workflow_scripts/describe_classifier.py"
