"""The small networks on a CUDA device: the same results as on the CPU, and training under mixed precision."""

import pytest
import torch

from seedbed.models import create_model, list_models
from seedbed.models.conformer_maps import conformer_maps
from seedbed.models.mctformer_maps import mctformer_maps
from seedbed.models.pair_affinity import pair_affinities

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
SMALL = [name for name in list_models() if "tiny" in name]


@pytest.fixture(autouse=True)
def exact_arithmetic():
    """TensorFloat-32 rounds to 10 bits, far above the tolerance here."""
    # Not by monkeypatch: it deletes such a flag before it puts it back, which PyTorch refuses.
    flags = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = False
    yield
    for flag, value in zip(flags, before, strict=True):
        flag.allow_tf32 = value


def first(output) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]


@pytest.mark.parametrize("name", SMALL)
def test_same_result_as_on_the_cpu(name):
    torch.manual_seed(0)
    model, images = create_model(name, 6).eval(), torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected = first(model(images))
        ours = first(model.cuda()(images.cuda())).cpu()
    assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_training_gives_finite_gradients(name, dtype):
    torch.manual_seed(0)
    model = create_model(name, 6).cuda().train()
    with torch.autocast("cuda", dtype):
        loss = first(model(torch.randn(4, 3, 96, 96, device="cuda"))).float().square().mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("name", "maps"), [("mctformerv2_tiny", mctformer_maps), ("conformer_tiny_demo", conformer_maps)]
)
def test_maps_as_on_the_cpu(name, maps):
    torch.manual_seed(0)
    model, images = create_model(name, 6).eval(), torch.randn(1, 3, 96, 64)
    expected, ours = maps(model, images), maps(model.cuda(), images.cuda())
    for a, b in zip(ours, expected, strict=True):
        assert (a.cpu() - b).abs().max() <= 1e-4 * b.abs().max()


def test_pair_affinities_need_little_memory():
    """A batch of PSA's: all differences at once would take 1.2 GB."""
    features = torch.randn(8, 448, 56, 56, device="cuda", requires_grad=True)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    pair_affinities(features).sum().backward()
    assert torch.cuda.max_memory_allocated() - before < 300e6
