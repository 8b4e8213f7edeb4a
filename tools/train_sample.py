"""Train the sample of `edgekit demo`: a residual CNN on Fashion-MNIST, with its data.

    apt-get install dataset-fashion-mnist
    pip install torch==2.13.0 onnx onnxscript
    python tools/train_sample.py --data /usr/share/datasets/fashion-mnist

Writes `model.onnx`, `calibration.npz` and `test.npz` into `edgekit/sample`. About 10 minutes on
one core. The seed is fixed, but another CPU or torch may round differently.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn import functional

SAMPLE = Path(__file__).parent.parent / "edgekit" / "sample"
SEED = 20_260
EPOCHS = 14
BATCH = 128
CALIBRATION_IMAGES = 512
TEST_IMAGES = 2_000


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, figure 5 left)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = (
            nn.Identity()
            if (inputs, stride) == (outputs, 1)
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        return functional.relu(self.body(x) + self.shortcut(x))


def network() -> nn.Module:
    """Return the untrained network: (n, 1, 28, 28) pixels in 0..1 to (n, 10) logits."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        Residual(32, 32, 1),
        Residual(32, 32, 1),
        Residual(32, 64, 2),
        Residual(64, 64, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def read_images(path: Path) -> npt.NDArray[np.float32]:
    """Read an idx3 file as (n, 1, 28, 28) float32 in 0..1."""
    with gzip.open(path) as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    return (pixels.reshape(-1, 1, 28, 28) / np.float32(255)).astype(np.float32)


def read_labels(path: Path) -> npt.NDArray[np.int64]:
    """Read an idx1 file as (n,) int64."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)


def augment(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the images and shift all by up to two pixels."""
    mirrored = torch.rand(len(x), generator=rng) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    down, right = torch.randint(0, 5, (2,), generator=rng).tolist()
    return functional.pad(x, (2, 2, 2, 2))[:, :, down : down + 28, right : right + 28]


def train(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Train in place with a one-cycle schedule; there is no choice by test accuracy."""
    rng = torch.Generator().manual_seed(SEED)
    steps = len(images) // BATCH
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.2, total_steps=EPOCHS * steps
    )
    for epoch in range(EPOCHS):
        started = time.monotonic()
        order = torch.randperm(len(images), generator=rng)
        total = 0.0
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            x = augment(images[chosen], rng).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = net(x)
            loss = functional.cross_entropy(logits.float(), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.monotonic() - started
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {total / steps:.4f}, {seconds:.0f} s", flush=True)


def strip(model: ir.Model) -> None:
    """Remove the exporter's notes: stack traces with the paths of this machine."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def export(net: nn.Module, path: Path) -> None:
    """Write the network as ONNX, the batch axis dynamic."""
    example = (torch.zeros(2, 1, 28, 28),)
    program = torch.onnx.export(
        net,
        example,
        dynamo=True,
        opset_version=18,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    if program.model is None:
        raise RuntimeError("the exporter returned no model")
    strip(program.model)
    program.save(path, external_data=False)


def main() -> None:
    """Read, train, report, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the four idx files")
    parser.add_argument("--out", type=Path, default=SAMPLE)
    arguments = parser.parse_args()
    data: Path = arguments.data
    out: Path = arguments.out

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    images = read_images(data / "train-images-idx3-ubyte.gz")
    labels = read_labels(data / "train-labels-idx1-ubyte.gz")
    test_images = read_images(data / "t10k-images-idx3-ubyte.gz")
    test_labels = read_labels(data / "t10k-labels-idx1-ubyte.gz")

    out.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(SEED).choice(len(images), CALIBRATION_IMAGES, replace=False)
    np.savez_compressed(out / "calibration.npz", image=images[np.sort(chosen)])
    np.savez_compressed(
        out / "test.npz", image=test_images[:TEST_IMAGES], label=test_labels[:TEST_IMAGES]
    )

    net = network().to(memory_format=torch.channels_last)
    train(net, torch.from_numpy(images), torch.from_numpy(labels))
    net = net.to(memory_format=torch.contiguous_format).eval()
    with torch.inference_mode():
        batches = torch.from_numpy(test_images).split(1_000)
        answers = torch.cat([net(part).argmax(1) for part in batches]).numpy()
    right = answers == test_labels
    print(f"top-1: {right.mean():.2%} of {len(right)}, {right[:TEST_IMAGES].mean():.2%} shipped")
    export(net, out / "model.onnx")


if __name__ == "__main__":
    main()
