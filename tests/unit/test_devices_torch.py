"""Which device PyTorch computes on: what is refused, with what words, and the arithmetic that is set."""

import os
import subprocess
import sys

import pytest
import torch

from seedbed.devices import torch_device
from seedbed.devices.torch_device import DEVICE_VARIABLE, choose_device
from seedbed.errors import ParameterError, UserError

CPU = torch.device("cpu")
BUILT = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.fixture
def machine(monkeypatch):
    """One GPU of a given kind, or a driver that PyTorch cannot use; no driver of CUDA is asked."""
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    flags = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [flag.allow_tf32 for flag in flags], torch.are_deterministic_algorithms_enabled()
    filled, benchmark = torch.utils.deterministic.fill_uninitialized_memory, torch.backends.cudnn.benchmark

    def make(capability=None, driver="580.95.05", built=BUILT, version="13.0", error="too old"):
        def init():
            raise RuntimeError(f"The NVIDIA driver on your system is {error}. Please update from http://example.org")

        monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "Fine GPU")
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
        monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
        monkeypatch.setattr(torch.version, "cuda", version)
        monkeypatch.setattr(torch_device, "driver_version", lambda: driver)

    yield make
    for flag, value in zip(flags, before[0], strict=True):
        flag.allow_tf32 = value
    torch.use_deterministic_algorithms(before[1])
    torch.utils.deterministic.fill_uninitialized_memory, torch.backends.cudnn.benchmark = filled, benchmark


def test_the_cpu_where_no_gpu_is_asked_for_or_a_switch_says_so(machine, monkeypatch):
    machine(capability=(9, 0))
    assert choose_device(0) == CPU
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert choose_device(2) == CPU
    machine(capability=None)
    assert choose_device(1) == CPU
    monkeypatch.setenv(DEVICE_VARIABLE, "gpu")
    with pytest.raises(UserError, match="SEEDBED_DEVICE=gpu: can only be cpu"):
        choose_device(1)


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (
            {"driver": "535.104.05"},
            "the driver is 535.104.05.* Install a newer driver, or a PyTorch built for an older",
        ),
        ({"driver": None}, "the driver is none that answers.* Install NVIDIA's driver"),
        ({"version": None}, r"built for CUDA none \(CPU only\).* Install a PyTorch that is built for CUDA"),
    ],
)
def test_a_gpu_that_pytorch_cannot_use_is_an_error(machine, given, remedy):
    machine(**given)
    with pytest.raises(UserError, match=remedy) as error:
        choose_device(1)
    text = str(error.value)
    assert "your system is too old" in text and "http" not in text
    assert torch.__version__ in text and "CUDA_VISIBLE_DEVICES=3" in text
    assert "gpu: 0 or SEEDBED_DEVICE=cpu" in text


@pytest.mark.parametrize(
    ("capability", "built", "fits"),
    [
        ((7, 0), BUILT, False),
        ((6, 0), BUILT, False),
        ((7, 5), BUILT, True),
        ((8, 9), BUILT, True),  # sm_86 runs on it
        ((10, 3), BUILT, True),
        ((11, 0), BUILT, False),
        ((11, 0), [*BUILT, "compute_90"], True),  # compiled on the spot
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_90a"], True),
    ],
)
def test_kernels_for_the_gpu_are_looked_for(machine, capability, built, fits):
    machine(capability=capability, built=built)
    if fits:
        assert choose_device(1) == torch.device("cuda", 0)
        return
    name = f"Fine GPU \\(sm_{capability[0]}{capability[1]}\\); it holds {', '.join(built)}"
    with pytest.raises(UserError, match=name):
        choose_device(1)


@pytest.mark.parametrize(("capability", "warns"), [((7, 5), True), ((8, 0), False)])
def test_emulated_bfloat16_is_said(machine, caplog, capability, warns):
    machine(capability=capability)
    choose_device(1)
    assert ("bf16: false" in caplog.text) == warns


@pytest.mark.parametrize(("options", "rounded"), [({}, False), ({"precision": "tf32"}, True)])
def test_precision_is_the_same_for_products_and_convolutions(machine, options, rounded):
    machine(capability=(8, 0))
    torch.backends.cudnn.allow_tf32 = not rounded
    assert choose_device(2, 1, **options) == torch.device("cuda", 1)
    assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == rounded
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark


def test_an_unknown_precision():
    with pytest.raises(ParameterError, match="Did you mean 'float32'"):
        choose_device(0, precision="float23")


def test_what_this_machine_says_where_it_has_no_gpu():
    program = "from seedbed.devices.torch_device import choose_device; choose_device(1)"
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    variables = {name: value for name, value in os.environ.items() if name != DEVICE_VARIABLE}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "UserError: The job asked for a GPU, and PyTorch cannot use one" in done.stderr
