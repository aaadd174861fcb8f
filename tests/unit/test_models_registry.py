import pytest
import timm
import torch

from seedbed.errors import ParameterError
from seedbed.models import create_model, list_models, model_entry
from seedbed.models.registry import register

torch.set_num_threads(1)
SMALL = [name for name in list_models() if "tiny" in name]


def test_names_promised():
    promised = {
        "mctformerv2_small",
        "mctformer_plus_small",
        "conformer_small",
        "resnet38",
        "affinitynet_resnet38",
        "affinitynet_hybrid",
        "affinitynet_resnet50",
        "deeplab_v1_resnet38",
        "deeplab_v2_resnet38",
        "deeplab_v2_resnet101",
        "mctformerv2_tiny",
        "conformer_tiny_demo",
        "resnet38_tiny",
        "affinitynet_resnet38_tiny",
        "affinitynet_hybrid_tiny",
        "deeplab_v1_resnet38_tiny",
        "deeplab_v1_resnet38_mctformer_tiny",
        "vit_tiny_r_s8",
        "vit_tiny_patch8_96",
    }
    assert promised <= set(list_models())


def test_list_by_task_covers_all_once():
    tasks = [set(list_models(task)) for task in ("classifier", "affinity", "segmentation")]
    assert set.union(*tasks) == set(list_models())
    assert sum(map(len, tasks)) == len(list_models())
    with pytest.raises(ParameterError, match="Did you mean 'classifier'"):
        list_models("classifiers")


def outputs(result):
    if isinstance(result, torch.Tensor):
        return [result]
    return [x for part in result if part is not None for x in outputs(part)]


@pytest.mark.parametrize("name", SMALL)
def test_small_models_run_forward_and_backward(name):
    torch.manual_seed(0)
    model = create_model(name, 6).train()
    result = outputs(model(torch.randn(2, 3, 96, 96)))
    assert all(torch.isfinite(x).all() and len(x) == 2 for x in result)
    sum(x.square().mean() for x in result).backward()
    without = [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert [key for key in without if not key.startswith("proj_head.")] == []  # ToCo's, which its loss alone reads


@pytest.mark.parametrize("name", SMALL)
def test_small_models_agree_under_autocast(name):
    torch.manual_seed(0)
    model, images = create_model(name, 6).eval(), torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        exact = outputs(model(images))[0]
        with torch.autocast("cpu", torch.bfloat16):
            rough = outputs(model(images))[0]
    assert (exact - rough.float()).abs().max() < 0.1 * exact.abs().max() + 0.02


@pytest.mark.parametrize("name", SMALL)
def test_same_seed_same_weights(name):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(create_model(name, 4).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", ["vit_tiny_r_s8", "vit_tiny_patch8_96"])
def test_small_vits_fit_the_budget_and_are_timm_s(name):
    model = create_model(name, 6)
    assert sum(p.numel() for p in model.parameters()) <= 450_000
    assert type(model) is timm.models.VisionTransformer
    assert model.patch_embed.grid_size == (12, 12)
    assert model(torch.randn(1, 3, 96, 96)).shape == (1, 6)


@pytest.mark.parametrize("name", ["mctformerv2_tiny", "vit_tiny_r_s8", "resnet38_tiny"])
def test_timm_finds_our_models(name):
    assert timm.is_model(name)
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=5)
    torch.manual_seed(0)
    ours = create_model(name, 5)
    assert type(theirs) is type(ours)
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))
    with pytest.raises(ParameterError, match="load_weights"):
        timm.create_model(name, pretrained=True, num_classes=5)


def test_normalisation_travels_with_the_model():
    assert timm.data.resolve_model_data_config(create_model("vit_tiny_r_s8", 3))["mean"] == (0.5, 0.5, 0.5)
    assert timm.data.resolve_model_data_config(create_model("resnet38_tiny", 3))["mean"] == (0.485, 0.456, 0.406)
    assert model_entry("affinitynet_hybrid").std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        ("vit_base_patch16_224.orig_in21k_ft_in1k", 20, 85_814_036),
        ("vit_base_r50_s16_384", 20, 98_197_332),
        ("deit_small_patch16_224.fb_in1k", 20, 21_673_364),
        ("resnet50.tv_in1k", None, 25_557_032),
        ("vgg16", 20, 134_342_484),
    ],
)
def test_timm_models_by_name(name, classes, parameters):
    with torch.device("meta"):
        model = create_model(name, classes)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mctformer_small", "Did you mean 'mctformerv2_small'"),
        ("vit_base_patch16_225", "Did you mean 'vit_base_patch16_224'"),
        ("vit_base_patch16_224.orig_in21k_ft_in1", "Did you mean 'vit_base_patch16_224.orig_in21k_ft_in1k'"),
        ("hf-hub:timm/resnet18", "Unknown model"),
        ("", "Unknown model"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name, message):
    with pytest.raises(ParameterError, match=message):
        create_model(name, 3)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("mctformerv2_tiny", {"dept": 2}, "Did you mean 'depth'"),
        ("resnet38_tiny", {"width_div": 2}, "width_div"),
        ("vit_tiny_patch8_96", {"dept": 2}, "dept"),
        ("resnet18", {"dept": 2}, "dept"),
        ("mctformerv2_tiny", {"embed_dim": 50}, "50 cannot be split over 4 heads"),
        ("conformer_tiny_demo", {"depth": 5}, "depth divisible by 3"),
        ("resnet38_tiny", {"width_divisor": 24}, "width"),
        ("resnet38_tiny", {"frozen": ("b9",)}, "Unknown ResNet38 level to freeze 'b9'"),
        ("affinitynet_hybrid", {"hybrid": "vit_tiny_patch8_96"}, "no hybrid"),
    ],
)
def test_wrong_overrides_are_refused_by_name(name, overrides, message):
    with pytest.raises(ParameterError, match=message):
        create_model(name, 3, **overrides)


@pytest.mark.parametrize("classes", [None, 0, -1, 2.5])
def test_a_classifier_needs_classes(classes):
    with pytest.raises(ParameterError, match="num_classes"):
        create_model("mctformerv2_tiny", classes)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="twice"):
        register("resnet38", torch.nn.Identity, "another")
