"""Convolutional architectures that torch alone builds: one of each idea they have had."""

from __future__ import annotations

import torch
from recipes import Input, Recipe
from torch import Tensor, nn
from torch.nn import functional


def recipes() -> tuple[Recipe, ...]:
    """Return the architectures."""
    image = (Input(name="x", shape=(3, 32, 32)),)
    return (
        Recipe(name="densenet", build=DenseNet, inputs=image),
        Recipe(name="shufflenet", build=ShuffleNet, inputs=image),
        Recipe(name="unet", build=UNet, inputs=image),
        Recipe(name="inception", build=Inception, inputs=image),
        Recipe(name="squeezenet", build=SqueezeNet, inputs=image),
        Recipe(name="super_resolution", build=SuperResolution, inputs=image),
        Recipe(name="yolo", build=Yolo, inputs=image),
        Recipe(name="resnext_se", build=ResNeXt, inputs=image),
        Recipe(name="vgg", build=Vgg, inputs=image),
        Recipe(name="group_norm", build=GroupNorms, inputs=image),
    )


class Unit(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class Head(nn.Sequential):
    """Average over the image, then one linear layer."""

    def __init__(self, inputs: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


class DenseNet(nn.Module):
    """Each layer reads all before it, after a batch norm of its own (Huang et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, 1, 1)
        self.layers, self.transitions = nn.ModuleList(), nn.ModuleList()
        width = 24
        for _ in range(2):
            for _ in range(3):
                self.layers.append(
                    nn.Sequential(
                        nn.BatchNorm2d(width),
                        nn.ReLU(),
                        Unit(width, 32, 1),
                        nn.Conv2d(32, 12, 3, 1, 1),
                    )
                )
                width += 12
            self.transitions.append(
                nn.Sequential(
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Conv2d(width, width // 2, 1),
                    nn.AvgPool2d(2),
                )
            )
            width //= 2
        self.norm, self.head = nn.BatchNorm2d(width), Head(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3, h, w) to (n, 10)."""
        x = self.stem(x)
        for block, transition in enumerate(self.transitions):
            for layer in self.layers[3 * block : 3 * block + 3]:
                x = torch.cat([x, layer(x)], 1)
            x = transition(x)
        return self.head(functional.relu(self.norm(x)))


class Shuffled(nn.Module):
    """Half the channels pass by, then all are shuffled (Ma et al. 2018, figure 3c)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            Unit(half, half, 1), nn.Conv2d(half, half, 3, 1, 1, groups=half), Unit(half, half, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        a, b = x.chunk(2, 1)
        x = torch.cat([a, self.branch(b)], 1)
        n, c, h, w = x.shape
        return x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleNet(nn.Sequential):
    """ShuffleNetV2."""

    def __init__(self) -> None:
        super().__init__(
            Unit(3, 32, 3, 2),
            Shuffled(32),
            Shuffled(32),
            Unit(32, 64, 3, 2),
            Shuffled(64),
            Head(64),
        )


class UNet(nn.Module):
    """Encoder and decoder with skips (Ronneberger et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = Unit(3, 16), Unit(16, 32), Unit(32, 64)
        self.up_two, self.up_one = (
            nn.ConvTranspose2d(64, 32, 2, 2),
            nn.ConvTranspose2d(32, 16, 2, 2),
        )
        self.back_two, self.back_one = Unit(64, 32), Unit(32, 16)
        self.out = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3, h, w) to (n, 4, h, w)."""
        one = self.one(x)
        two = self.two(functional.max_pool2d(one, 2))
        three = self.three(functional.max_pool2d(two, 2))
        two = self.back_two(torch.cat([two, self.up_two(three)], 1))
        one = self.back_one(torch.cat([one, self.up_one(two)], 1))
        return torch.sigmoid(self.out(one))


class Branches(nn.Module):
    """Four branches side by side (Szegedy et al. 2015, figure 2b)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.one = Unit(inputs, 16, 1)
        self.three = nn.Sequential(Unit(inputs, 16, 1), Unit(16, 24))
        self.five = nn.Sequential(Unit(inputs, 8, 1), Unit(8, 12, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), Unit(inputs, 12, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, 64, h, w)."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


class Inception(nn.Sequential):
    """GoogLeNet in small."""

    def __init__(self) -> None:
        super().__init__(Unit(3, 24, 3, 2), Branches(24), nn.MaxPool2d(2), Branches(64), Head(64))


class Fire(nn.Module):
    """Squeeze, then expand by two kernels (Iandola et al. 2016)."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.one, self.three = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, 2 expand, h, w)."""
        x = functional.relu(self.squeeze(x))
        return torch.cat([functional.relu(self.one(x)), functional.relu(self.three(x))], 1)


class SqueezeNet(nn.Sequential):
    """Ends in a convolution; its classes are averaged."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 32, 3, 2), nn.ReLU(), Fire(32, 8, 32), Fire(64, 16, 32)),
            *(nn.MaxPool2d(3, 2, ceil_mode=True), Fire(64, 16, 48), nn.Conv2d(96, 10, 1)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )


class SuperResolution(nn.Module):
    """Twice the size by pixel shuffle, over a bilinear skip (Shi et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(3, 32, 5, 1, 2), nn.PReLU(32), nn.Conv2d(32, 32, 3, 1, 1), nn.PReLU(32)),
            *(nn.Conv2d(32, 64, 3, 1, 1), nn.PixelShuffle(2), nn.Conv2d(16, 3, 3, 1, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3, h, w) to (n, 3, 2h, 2w)."""
        return self.body(x) + functional.interpolate(x, scale_factor=2.0, mode="bilinear")


class C2f(nn.Module):
    """Cross-stage parts: split, a chain of bottlenecks, all of it concatenated (YOLOv8)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.half = outputs // 2
        self.enter, self.leave = Unit(inputs, outputs, 1), Unit(2 * outputs, outputs, 1)
        self.chain = nn.ModuleList(
            nn.Sequential(Unit(self.half, self.half), Unit(self.half, self.half)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h, w)."""
        parts = list(self.enter(x).split((self.half, self.half), 1))
        for step in self.chain:
            parts.append(parts[-1] + step(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class Yolo(nn.Module):
    """Backbone, pyramid with upsampling, and heads whose outputs are flattened and joined."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(Unit(3, 16, 3, 2), C2f(16, 32))
        self.two = nn.Sequential(Unit(32, 48, 3, 2), C2f(48, 64))
        self.up = C2f(96, 32)
        self.heads = nn.ModuleList([nn.Conv2d(32, 8, 1), nn.Conv2d(64, 8, 1)])

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3, h, w) to (n, 8, places)."""
        one = self.one(x)
        two = self.two(one)
        one = self.up(torch.cat([functional.interpolate(two, scale_factor=2.0), one], 1))
        found = [head(y).flatten(2) for head, y in zip(self.heads, (one, two), strict=True)]
        boxes, scores = torch.cat(found, 2).split((4, 4), 1)
        return torch.cat([boxes, scores.sigmoid()], 1)


class Grouped(nn.Module):
    """A bottleneck with grouped convolution and squeeze-and-excite (Xie et al., Hu et al.)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(Unit(width, inner, 1), Unit(inner, inner, 3, groups=4)),
            *(nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width)),
        )
        self.gate = nn.Sequential(
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, 16, 1), nn.ReLU()),
            *(nn.Conv2d(16, width, 1), nn.Sigmoid()),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        y = self.body(x)
        return functional.relu(x + y * self.gate(y))


class ResNeXt(nn.Sequential):
    """ResNeXt with gates."""

    def __init__(self) -> None:
        super().__init__(Unit(3, 48, 3, 2), Grouped(48, 64), Grouped(48, 32), Head(48))


class Vgg(nn.Sequential):
    """Plain convolutions, then a classifier that reads every place of the image."""

    def __init__(self) -> None:
        super().__init__(
            *(Unit(3, 16), Unit(16, 24), nn.MaxPool2d(2), Unit(24, 32), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 64, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10)),
        )


class Normed(nn.Module):
    """A residual block with group norms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(width, 64, 3, 1, 1), nn.GroupNorm(8, 64), nn.SiLU()),
            *(nn.Conv2d(64, width, 3, 1, 1), nn.InstanceNorm2d(width, affine=True)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return functional.silu(x + self.body(x))


class GroupNorms(nn.Sequential):
    """Norms whose statistics are taken of the input."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 32, 3, 2, 1), Normed(32), Normed(32), Head(32))
