"""Architectures over time and over patches that torch alone builds."""

from __future__ import annotations

import torch
from images import Unit
from recipes import Input, Recipe
from torch import Tensor, nn
from torch.nn import functional


def recipes() -> tuple[Recipe, ...]:
    """Return the architectures."""
    image = (Input(name="x", shape=(3, 32, 32)),)
    frames = (Input(name="x", shape=(20, 24)),)
    return (
        Recipe(name="lstm", build=lambda: Recurrent(nn.LSTM, both=False), inputs=frames),
        Recipe(name="bilstm", build=lambda: Recurrent(nn.LSTM, both=True), inputs=frames),
        Recipe(name="gru", build=lambda: Recurrent(nn.GRU, both=False), inputs=frames),
        Recipe(name="crnn", build=Crnn, inputs=(Input(name="x", shape=(1, 32, 20)),)),
        Recipe(name="mixer", build=Mixer, inputs=image),
        Recipe(name="torch_encoder", build=Encoder, inputs=frames),
        Recipe(name="tcn", build=Tcn, inputs=(Input(name="x", shape=(12, 64)),)),
    )


class Recurrent(nn.Module):
    """Two recurrent layers over frames, in one or both directions."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU], *, both: bool) -> None:
        super().__init__()
        self.layers = kind(24, 32, 2, batch_first=True, bidirectional=both)
        self.head = nn.Linear(64 if both else 32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, time, 24) to (n, 10)."""
        return self.head(self.layers(x)[0][:, -1])


class Crnn(nn.Module):
    """Keyword spotting: convolutions over a spectrogram, a GRU over time (Arik et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(Unit(1, 16, 3, 2), Unit(16, 32))
        self.gru = nn.GRU(32 * 10, 48, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(96, 32), nn.ReLU(), nn.Linear(32, 12))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 1, time, 20) to (n, 12)."""
        x = self.front(x).permute(0, 2, 1, 3).flatten(2)
        return self.head(self.gru(x)[0].mean(1))


class Mix(nn.Module):
    """A perceptron over places, one over channels (Tolstikhin et al. 2021)."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.places = nn.Sequential(nn.Linear(places, 32), nn.GELU(), nn.Linear(32, places))
        self.width = nn.Sequential(nn.Linear(width, 128), nn.GELU(), nn.Linear(128, width))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        x = x + self.places(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + self.width(self.norms[1](x))


class Mixer(nn.Module):
    """MLP-Mixer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 8, 8)
        self.body = nn.Sequential(Mix(16, 64), Mix(16, 64), nn.LayerNorm(64))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3, 32, 32) to (n, 10)."""
        return self.head(self.body(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class Encoder(nn.Module):
    """torch's own encoder, whose queries, keys and values come of one product."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, norm_first=True)
        self.enter, self.head = nn.Linear(24, 64), nn.Linear(64, 10)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, time, 24) to (n, 10)."""
        return self.head(self.body(self.enter(x)).mean(1))


class Causal(nn.Module):
    """A dilated convolution that sees the past alone, gated (van den Oord et al. 2016)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.both = nn.Conv1d(width, 64, 3, dilation=dilation)
        self.skip = nn.Conv1d(32, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        a, b = self.both(functional.pad(x, (2 * self.dilation, 0))).chunk(2, 1)
        return x + self.skip(torch.tanh(a) * torch.sigmoid(b))


class Tcn(nn.Sequential):
    """WaveNet in small."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(12, 32, 1), Causal(32, 1), Causal(32, 2), Causal(32, 4), nn.Conv1d(32, 6, 1)
        )
