"""Maps of MCTformer and Conformer: what refines them, which classes they are of, and which layers."""

import pytest
import torch

from seedbed.errors import ParameterError, UserError
from seedbed.explain import explain, methods, supports
from seedbed.explain.attention_cams import patch_attention, refined_by_layer, unrefined
from seedbed.models import create_model

OPTIONS = {"mct_refined": {"class_attention_layers": 2}, "transcam": {}}

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def mctformer():
    torch.manual_seed(0)
    return create_model("mctformerv2_tiny", 4, img_size=32, embed_dim=16, depth=3, num_heads=2)


@pytest.fixture(scope="module")
def conformer():
    torch.manual_seed(0)
    small = {"width": 8, "embed_dim": 16, "depth": 3, "num_heads": 2, "stem_width": 8}
    return create_model("conformer_tiny_demo", 4, **small)


@pytest.fixture
def model_of(mctformer, conformer):
    return {"mct_refined": mctformer, "transcam": conformer}


def images(count=2):
    return torch.randn(count, 3, 32, 40, generator=torch.Generator().manual_seed(1))


EVERY = torch.arange(4).repeat(2, 1)


def test_maps_of_mctformer_are_what_they_say(mctformer):
    pictures = images()
    output = mctformer.eval()(pictures, attention="heads")
    head_means = [layer.mean(1) for layer in output.attention]
    cam = output.patch_maps.relu()
    torch.testing.assert_close(explain(mctformer, pictures, EVERY, "mct_cam"), cam)
    for count in (1, 3):
        pays = sum(layer[:, :4, 4:] for layer in head_means[-count:]).view(2, 4, 4, 5)
        fused = explain(mctformer, pictures, EVERY, "mct_fused", class_attention_layers=count)
        torch.testing.assert_close(fused, pays * cam)
    for layers in ([0], [2, 0], None):
        summed = sum(head_means[layer][:, 4:, 4:] for layer in (layers or range(3)))
        expected = torch.stack([summed[b] @ fused[b].flatten(1).T for b in range(2)]).mT.view(2, 4, 4, 5)
        torch.testing.assert_close(explain(mctformer, pictures, EVERY, "mct_refined", layers=layers), expected)


def test_maps_of_conformer_are_what_they_say(conformer):
    pictures = images()
    output = conformer.eval()(pictures, attention="heads")
    torch.testing.assert_close(explain(conformer, pictures, EVERY, "conv_cam"), output.conv_maps)
    assert (output.conv_maps < 0).any()
    for layers in ([1], "all"):
        chosen = [1] if layers == [1] else range(3)
        summed = sum(output.attention[layer].mean(1)[:, 1:, 1:] for layer in chosen)
        expected = torch.einsum("bij,bkj->bki", summed, output.conv_maps.flatten(2)).view(2, 4, 4, 5)
        torch.testing.assert_close(explain(conformer, pictures, EVERY, "transcam", layers=layers), expected)


@pytest.mark.parametrize("method", OPTIONS)
def test_layers_add_up_to_the_refined_map(method, model_of):
    start = unrefined(model_of[method], images(), EVERY, method, **OPTIONS[method])
    by_layer = refined_by_layer(start)
    for layer in range(3):
        alone = explain(model_of[method], images(), EVERY, method, layers=[layer], **OPTIONS[method])
        torch.testing.assert_close(by_layer[:, layer], alone)
    torch.testing.assert_close(by_layer.sum(1), explain(model_of[method], images(), EVERY, method, **OPTIONS[method]))


def test_cam_is_the_plain_map_of_either_network(mctformer, conformer):
    for model, method in ((mctformer, "mct_cam"), (conformer, "conv_cam")):
        maps = explain(model, images(), EVERY, method)
        assert torch.equal(explain(model, images(), EVERY, "cam"), maps)
    shifted = explain(conformer, images(), EVERY[:, :3], "cam", first_class=1)
    torch.testing.assert_close(shifted, maps[:, 1:])
    assert next(method for method in methods() if method.name == "cam").description.startswith("Class activation map")


@pytest.mark.parametrize("method", ["mct_cam", "mct_fused", "mct_refined", "conv_cam", "transcam"])
def test_targets_share_a_pass_and_absent_ones_are_zero(method, mctformer, conformer):
    model = mctformer if method.startswith("mct") else conformer
    pictures = images()
    together = explain(model, pictures, [[3, 1], [2, -1]], method)
    assert together.shape == (2, 2, 4, 5)
    torch.testing.assert_close(together[:, 0], explain(model, pictures, [3, 2], method))
    torch.testing.assert_close(together[0, 1], explain(model, pictures[:1], [1], method)[0])
    assert not together[1, 1].any()
    output = model.eval()(pictures)
    logits = output.class_logits if model is mctformer else output.conv_logits + output.trans_logits
    predicted = explain(model, pictures, logits.argmax(1), method)
    torch.testing.assert_close(explain(model, pictures, None, method), predicted)


@pytest.mark.parametrize("method", ["conv_cam", "transcam"])
def test_a_background_output_is_skipped(method, conformer):
    classes = explain(conformer, images(), EVERY[:, :3], method, first_class=1)
    torch.testing.assert_close(classes, explain(conformer, images(), EVERY[:, 1:], method))
    with pytest.raises(ParameterError, match="There is no class 3: the model has 3 classes"):
        explain(conformer, images(), EVERY, method, first_class=1)
    with pytest.raises(ParameterError, match="first_class=4: the network has outputs 0 to 3"):
        explain(conformer, images(), EVERY, method, first_class=4)


def test_a_training_network_is_explained_as_it_evaluates(conformer):
    expected = explain(conformer.eval(), images(), EVERY, "transcam")
    conformer.train()
    torch.testing.assert_close(explain(conformer, images(), EVERY, "transcam"), expected)
    assert conformer.training
    conformer.eval()


def test_attention_of_the_patches_alone(mctformer, conformer):
    for model, prefix in ((mctformer, 4), (conformer, 1)):
        whole = model.eval()(images(), attention="mean").attention
        blocks = patch_attention(model, images())
        assert len(blocks) == 3
        for block, layer in zip(blocks, whole, strict=True):
            torch.testing.assert_close(block, layer[:, prefix:, prefix:])
            assert (block.sum(-1) < 1).all()


def test_mistakes_are_named(mctformer, conformer):
    assert supports(mctformer, "mct_refined")
    assert not supports(mctformer, "transcam")
    with pytest.raises(UserError, match="'transcam' cannot explain this MCTformer: it is not a Conformer"):
        explain(mctformer, images(), EVERY, "transcam")
    with pytest.raises(ParameterError, match="layers=\\[3\\]: choose 'all' or a list of numbers from 0 to 2"):
        explain(conformer, images(), EVERY, "transcam", layers=[3])
    with pytest.raises(ParameterError, match="num_layers=4: the network has 3 layers"):
        explain(mctformer, images(), EVERY, "mct_refined", class_attention_layers=4)
    with pytest.raises(ParameterError, match="Unknown method that refines maps by attention 'mct_cam'"):
        unrefined(mctformer, images(), EVERY, "mct_cam")
    with pytest.raises(ParameterError, match="Unknown option of 'transcam' by layer 'layers'"):
        unrefined(conformer, images(), EVERY, "transcam", layers=[0])
    with pytest.raises(UserError, match="'transcam' cannot explain this MCTformer"):
        unrefined(mctformer, images(), EVERY, "transcam")
    with pytest.raises(UserError, match="The attention of a Linear is not read"):
        patch_attention(torch.nn.Linear(1, 1), images())
