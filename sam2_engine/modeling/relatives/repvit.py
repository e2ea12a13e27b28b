"""RepViT, the convolutional trunk of EdgeTAM (Wang et al. 2024; Zhou et al. 2025).

Every convolution is followed by a normalization of fixed statistics, and folded with it: two branches and a
residual become one depthwise convolution.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.derived_weights import computed_in, derived
from sam2_engine.modeling.layers import Conv2d

__all__ = ["RepVit"]


class NormalizedConv(nn.Module):
    """A convolution without bias and its normalization, whose statistics stay, in training too."""

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    @property
    def sources(self) -> list[Tensor]:
        """All weights that ``folded`` is made of."""
        bn = self.bn
        assert bn.running_mean is not None
        assert bn.running_var is not None
        return [self.c.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var]

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the convolution that both are."""
        weight, gain, shift, mean, variance = self.sources
        scale = gain * (variance + self.bn.eps).rsqrt()
        return weight * scale[:, None, None, None], shift - mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        dtype, c = computed_in(self.c.weight), self.c

        def make() -> tuple[Tensor, Tensor]:
            weight, bias = self.folded()
            return weight.to(dtype), bias.to(dtype)

        folded = derived(self, dtype, self.sources, make)
        return F.conv2d(x, *folded, c.stride, c.padding, c.dilation, c.groups)


class TokenMixer(nn.Module):
    """Depthwise 3 x 3 and 1 x 1 and the residual, as one convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = NormalizedConv(dim, dim, 3, groups=dim)
        self.conv1 = NormalizedConv(dim, dim, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to the same shape."""
        dtype = computed_in(self.conv.c.weight)

        def make() -> tuple[Tensor, Tensor]:
            (wide, wide_bias), (narrow, narrow_bias) = self.conv.folded(), self.conv1.folded()
            weight = wide + F.pad(narrow + 1, [1, 1, 1, 1])  # the residual is 1 at the center
            return weight.to(dtype), (wide_bias + narrow_bias).to(dtype)

        folded = derived(self, dtype, self.conv.sources + self.conv1.sources, make)
        return F.conv2d(x, *folded, padding=1, groups=x.shape[1])


class SqueezeExcite(nn.Module):
    """Scales channels by what their means say (Hu et al. 2018)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        reduced = max(8, (dim // 4 + 4) // 8 * 8)
        self.fc1 = Conv2d(dim, reduced, kernel_size=1)
        self.fc2 = Conv2d(reduced, dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to the same shape."""
        means = x.mean((2, 3), keepdim=True)
        result: Tensor = x * self.fc2(F.relu(self.fc1(means))).sigmoid()
        return result


class ChannelMixer(nn.Module):
    """Two 1 x 1 convolutions with twice the width between them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = NormalizedConv(dim, 2 * dim)
        self.conv2 = NormalizedConv(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to the same shape, residual included."""
        result: Tensor = x + self.conv2(F.gelu(self.conv1(x)))
        return result


class Block(nn.Module):
    """Mixing of cells, and of channels."""

    def __init__(self, dim: int, squeezes: bool) -> None:
        super().__init__()
        self.token_mixer = TokenMixer(dim)
        self.se = SqueezeExcite(dim) if squeezes else nn.Identity()
        self.channel_mixer = ChannelMixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to the same shape."""
        result: Tensor = self.channel_mixer(self.se(self.token_mixer(x)))
        return result


class Downsample(nn.Module):
    """Half the sides, twice the width."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.pre_block = Block(dim, squeezes=False)
        self.spatial_downsample = NormalizedConv(dim, dim, 3, stride=2, groups=dim)
        self.channel_downsample = NormalizedConv(dim, dim_out)
        self.ffn = ChannelMixer(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to (B, dim_out, H / 2, W / 2)."""
        x = self.spatial_downsample(self.pre_block(x))
        result: Tensor = self.ffn(self.channel_downsample(x))
        return result


class Stage(nn.Module):
    """Blocks of one width; every second squeezes, from the first on."""

    def __init__(self, dim: int, dim_out: int, depth: int) -> None:
        super().__init__()
        self.downsample = Downsample(dim, dim_out) if dim != dim_out else nn.Identity()
        self.blocks = nn.Sequential(*(Block(dim_out, index % 2 == 0) for index in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to (B, dim_out, ., .)."""
        result: Tensor = self.blocks(self.downsample(x))
        return result


class Stem(nn.Module):
    """Two strided convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = NormalizedConv(3, dim // 2, 3, stride=2)
        self.conv2 = NormalizedConv(dim // 2, dim, 3, stride=2)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, dim, H / 4, W / 4)."""
        result: Tensor = self.conv2(F.gelu(self.conv1(pixels)))
        return result


class RepVit(nn.Module):
    """The trunk: features at the strides 4, 8, 16 and 32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dims = config.stage_dims
        stages = {
            f"stages_{number}": Stage(before, dim, depth)
            for number, (before, dim, depth) in enumerate(zip((dims[0], *dims), dims, config.stages))
        }
        self.body = nn.ModuleDict({"stem": Stem(dims[0]), **stages})  # as the checkpoint names them

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Map (B, 3, S, S) to four feature maps (B, C_i, S / stride, S / stride), finest first."""
        stem, *stages = self.body.values()
        x = stem(pixels)
        outputs: list[Tensor] = []
        for stage in stages:
            x = stage(x)
            outputs.append(x)
        return outputs
