"""What torch's two exporters write is pruned exactly, and far enough."""

import numpy as np
import pytest

from edgekit import graph
from edgekit.graph.equality import largest_difference
from edgekit.passes import Context
from edgekit.passes.simplify import Simplify
from edgekit.pruning.analysis import couple
from edgekit.pruning.masking import masked
from edgekit.pruning.preparing import prepared
from edgekit.pruning.surgery import removed

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
nn = torch.nn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


class Shuffled(nn.Module):
    """Half of the channels pass by a grouped convolution; a shuffle mixes them again."""

    def __init__(self):
        super().__init__()
        self.enter, self.branch = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1, groups=2)
        self.norm, self.head = nn.BatchNorm2d(16), nn.Linear(16 * 16, 5)

    def forward(self, x):
        a, b = torch.relu(self.enter(x)).chunk(2, 1)
        x = torch.cat([a, self.branch(b)], 1)
        n, c, h, w = x.shape
        x = x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(self.norm(x).flatten(1))


class Squeezed(nn.Module):
    """A residual block with a gate, upsampled twice: by transposed convolution and by pixels."""

    def __init__(self):
        super().__init__()
        self.enter, self.body = nn.Conv2d(3, 24, 3, 1, 1), nn.Conv2d(24, 24, 3, 1, 1, groups=24)
        self.down, self.up = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1)
        self.wide, self.leave = nn.ConvTranspose2d(24, 12, 2, 2), nn.Conv2d(15, 16, 3, 1, 1)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        y = nn.functional.hardswish(self.body(self.enter(x)))
        gate = torch.sigmoid(self.up(torch.relu(self.down(y.mean((2, 3), keepdim=True)))))
        y = self.wide(self.enter(x) + y * gate)
        x = nn.functional.interpolate(x, scale_factor=2.0)
        return self.last(nn.functional.pixel_shuffle(self.leave(torch.cat([y, x], 1)), 2))


class Attending(nn.Module):
    """A layer with fused queries, keys and values, over patches."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 32, 4, 4), nn.LayerNorm(32)
        self.fused, self.join = nn.Linear(32, 96), nn.Linear(32, 32)
        self.wide, self.narrow, self.head = nn.Linear(32, 64), nn.Linear(64, 32), nn.Linear(32, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        n, places, width = x.shape
        parts = self.fused(self.norm(x)).reshape(n, places, 3, 4, width // 4)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.join(seen.transpose(1, 2).reshape(n, places, width))
        x = x + self.narrow(nn.functional.gelu(self.wide(x)))
        return self.head(x.mean(1))


class Listening(nn.Module):
    """A convolution over a spectrogram, then a recurrent layer in both directions."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU())
        self.lstm = nn.LSTM(12 * 4, 10, batch_first=True, bidirectional=True)
        self.head = nn.Linear(20, 5)

    def forward(self, x):
        x = self.front(x).permute(0, 2, 1, 3).flatten(2)
        return self.head(self.lstm(x)[0][:, -1])


def exported(kind, path, *, dynamo):
    """Export with weights by which all parts show in the output."""
    torch.manual_seed(0)
    module = kind()
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0.1, (weight[0].numel() if weight.ndim > 1 else 9) ** -0.5)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.uniform_(0.6, 1.4)
    batch = (
        {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1, max=64)},)}
        if dynamo
        else {"dynamic_axes": {"x": {0: "batch"}}}
    )
    torch.onnx.export(
        module.eval(),
        (torch.randn(2, 3, 8, 8),),
        path,
        input_names=["x"],
        opset_version=18 if dynamo else 17,
        dynamo=dynamo,
        verbose=False,
        **batch,
    )
    return graph.load(path)


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize(
    ("kind", "reached"), [(Shuffled, 0.3), (Squeezed, 0.2), (Attending, 0.5), (Listening, 0.2)]
)
def test_exports_are_pruned_exactly(kind, reached, dynamo, tmp_path):
    model = exported(kind, tmp_path / "model.onnx", dynamo=dynamo)
    context = Context(target=None, data=None, latencies_of=lambda *_: None, workspace=tmp_path)
    model = prepared(Simplify().apply(model, context).model)
    shapes = {"x": (1, 3, 8, 8)}
    shares = []
    for heads in (True, False):
        coupling = couple(model, shapes, heads=heads)
        half, least = coupling.everything(), coupling.everything()
        generator = np.random.default_rng(0)
        for group in coupling.groups:
            if group.pinned_by is None:
                half[generator.permutation(group.channels)[::2]] = False
                least[group.channels[1:]] = False
        for keep in (coupling.spared(half), coupling.spared(least)):
            smaller = removed(coupling, keep)
            assert largest_difference(masked(coupling, keep), smaller, shapes) <= 1e-5
            path = tmp_path / "smaller.onnx"
            graph.save(smaller, path)
            graph.load(path)
        shares.append(graph.costs(smaller, shapes).macs / graph.costs(model, shapes).macs)
    assert min(shares) <= reached
