"""A user's own networks: cutting, stitching, training, extraction, refusals."""

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.stitching.adapter import AnchorAdapter
from nas.stitching.modules import ModuleStitch, stitch_modules
from nas.stitching.train_modules import cost_bins, train_modules
from searchspaces.errors import AnchorMismatchError, ForbiddenRouteError
from searchspaces.routes import arch_of_route


class Cnn(nn.Module):
    def __init__(self, width: int = 12, classes: int = 5, stride: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride, 1)
        self.body = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()) for _ in range(4)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.fc = nn.Linear(width, classes)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return x + self.mlp(x)


class Vit(nn.Module):
    """The attributes that timm's vision transformers have."""

    num_prefix_tokens = 1

    def __init__(self, width: int = 16, classes: int = 5) -> None:
        super().__init__()
        self.patch_embed = nn.Sequential(nn.Conv2d(3, width, 2, 2), nn.Flatten(2))
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.1 * torch.randn(1, 17, width))
        self.norm_pre = nn.Identity()
        self.blocks = nn.Sequential(*(Block(width) for _ in range(6)))
        self.norm = nn.LayerNorm(width)
        self.fc_norm = nn.Identity()
        self.head = nn.Linear(width, classes)

    def _pos_embed(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed

    def forward_head(self, x: Tensor) -> Tensor:
        return self.head(self.fc_norm(x[:, 0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.norm(self.blocks(self.norm_pre(self._pos_embed(self.patch_embed(x))))))


def cnn_anchor(name: str = "cnn", **kwargs) -> AnchorAdapter:
    blocks = [f"body.{i}" for i in range(4)]
    return AnchorAdapter.of_modules(
        name, Cnn(**kwargs), stem=["stem"], blocks=blocks, head=["pool", "flat", "fc"]
    )


def images(n: int = 32, size: int = 8) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def stitched():
    torch.manual_seed(0)
    return stitch_modules([AnchorAdapter.of_vit("vit", Vit()), cnn_anchor()], images())


def test_a_vit_in_the_adapter_computes_what_it_computed():
    torch.manual_seed(0)
    vit = Vit().eval()
    anchor = AnchorAdapter.of_vit("vit", vit)
    x = anchor.stem(images())
    for _, block in anchor.blocks:
        x = block(x)
    assert torch.equal(anchor.head(x), vit(images()))


def test_positions_are_matched_by_relative_depth(stitched):
    assert set(stitched.cuts) == {"cnn", "vit"}
    assert stitched.cuts["cnn"] == (1, 2, 3)
    assert stitched.cuts["vit"] == (2, 3, 5)


def test_every_route_runs_and_its_extraction_is_equal_and_independent(stitched):
    stitched.eval()
    with torch.no_grad():
        for stitch in stitched.stitches.values():
            stitch.up.normal_()
        for arch in stitched.space.archs():
            network = stitched.extract(arch)
            torch.testing.assert_close(network(images(4)), stitched(images(4), arch), rtol=0, atol=1e-5)
            assert not any(isinstance(m, ModuleStitch) for m in network.modules())
            before = stitched(images(4), arch)
            for parameter in network.parameters():
                parameter.zero_()
            assert torch.equal(stitched(images(4), arch), before)


def test_whole_anchors_are_routes(stitched):
    torch.manual_seed(0)
    vit = Vit().eval()
    route = arch_of_route(stitched.space, "vit")
    assert torch.equal(stitched.eval()(images(4), route), vit(images(4)))


def test_least_squares_comes_nearer_to_the_target_than_a_random_map(stitched):
    stitched.eval()
    for source, target in permutations(("cnn", "vit")):
        whole = stitched(images(), arch_of_route(stitched.space, target))
        route = arch_of_route(stitched.space, f"{source}@3>{target}")
        fitted = F.mse_loss(stitched(images(), route), whole)
        stitch = stitched.stitches[f"cut3/stitch-{source}-{target}"]
        with torch.no_grad():
            stitch.weight.normal_(0, stitch.weight.shape[1] ** -0.5)
            stitch.bias.zero_()
        assert fitted < F.mse_loss(stitched(images(), route), whole)


def test_routes_train_together_and_repeat_themselves():
    labels = (images(64)[:, 0].mean((1, 2)) > images(64)[:, 1].mean((1, 2))).long()
    weights, losses = [], []
    for _ in range(2):
        torch.manual_seed(0)
        net = stitch_modules([AnchorAdapter.of_vit("vit", Vit()), cnn_anchor()], images())
        train_modules(
            net, images(64), labels, steps=40, batch_size=32, report=lambda _, loss: losses.append(loss)
        )
        weights.append({name: p.detach().clone() for name, p in net.named_parameters()})
        assert any(stitch.up.abs().sum() > 0 for stitch in net.stitches.values())
    assert sum(losses[30:40]) < sum(losses[:10])
    assert all(torch.equal(p, weights[1][name]) for name, p in weights[0].items())


def test_an_extraction_with_images_has_the_norms_of_its_own_route():
    torch.manual_seed(0)
    normed = Cnn()
    normed.body[3] = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12))
    blocks = [f"body.{i}" for i in range(4)]
    anchor = AnchorAdapter.of_modules(
        "cnn", normed, stem=["stem"], blocks=blocks, head=["pool", "flat", "fc"]
    )
    net = stitch_modules([AnchorAdapter.of_vit("vit", Vit()), anchor], images()).eval()
    arch = arch_of_route(net.space, "vit@3>cnn")
    seen = []
    network = net.extract(arch, images())
    (norm,) = (m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    norm.register_forward_hook(lambda m, x, y: seen.append(y))
    with torch.no_grad():
        network(images())
    assert seen[0].mean((0, 2, 3)).abs().max() < 1e-4  # normalised with what it sees here
    assert torch.equal(normed.body[3][1].running_mean, torch.zeros(12))  # the anchor's is untouched


def test_cost_bins_hold_every_route_once(stitched):
    bins = cost_bins(stitched)
    assert sorted(a.genes for held in bins for a in held) == sorted(a.genes for a in stitched.space.archs())
    assert len(bins) > 2


class TestRefusals:
    def test_no_common_resolution(self):
        with pytest.raises(AnchorMismatchError, match=r"'cnn' and 'coarse'.*\[4\] pixels.*\[2\] pixels"):
            stitch_modules([cnn_anchor(), cnn_anchor("coarse", stride=4)], images())

    def test_different_outputs(self):
        with pytest.raises(AnchorMismatchError, match=r"'cnn' and 'other'.*\(5,\) and \(7,\)"):
            stitch_modules([cnn_anchor(), cnn_anchor("other", classes=7)], images())

    def test_features_that_are_no_maps(self):
        flat = AnchorAdapter("flat", nn.Flatten(), (("fc", nn.Linear(192, 8)),), nn.Linear(8, 5))
        with pytest.raises(AnchorMismatchError, match=r"'flat'.*square maps.*\(32, 8\)"):
            stitch_modules([cnn_anchor(), flat], images())

    def test_tokens_that_are_no_square(self):
        wrong = AnchorAdapter.of_vit("vit", Vit())
        wrong = AnchorAdapter("vit", wrong.stem, wrong.blocks, wrong.head, "tokens", 0)
        with pytest.raises(AnchorMismatchError, match=r"'vit'.*tokens.*\(32, 17, 16\)"):
            stitch_modules([cnn_anchor(), wrong], images())

    def test_a_name_that_the_module_lacks(self):
        with pytest.raises(ValueError, match="Cnn has no submodule 'layer9'"):
            AnchorAdapter.of_modules("cnn", Cnn(), stem=["stem"], blocks=["layer9"], head=["fc"])

    def test_a_model_that_is_no_vit(self):
        with pytest.raises(ValueError, match="Cnn has no attribute 'patch_embed'"):
            AnchorAdapter.of_vit("cnn", Cnn())

    @pytest.mark.parametrize("name", ["", "a@b", "a>b", "a.b"])
    def test_names_that_routes_cannot_hold(self, name):
        with pytest.raises(ValueError, match="name of an anchor"):
            cnn_anchor(name)

    def test_equal_names(self):
        with pytest.raises(ValueError, match="different names"):
            stitch_modules([cnn_anchor(), cnn_anchor()], images())

    def test_a_forbidden_route(self, stitched):
        with pytest.raises(ForbiddenRouteError, match=r"cnn@2>vit@1>cnn.*cut at 1..3"):
            arch_of_route(stitched.space, "cnn@2>vit@1>cnn")

    def test_decoding_to_specs(self, stitched):
        with pytest.raises(TypeError, match="user's modules"):
            stitched.space.decode(arch_of_route(stitched.space, "vit"))


def test_a_timm_model_is_cut_and_stitched():
    timm = pytest.importorskip("timm", reason="timm is not installed")
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, num_classes=5)
    net = stitch_modules([AnchorAdapter.of_vit("vit", model), cnn_anchor(stride=8)], images(8, 32))
    arch = arch_of_route(net.space, "cnn@2>vit")
    assert net.eval()(images(2, 32), arch).shape == (2, 5)
