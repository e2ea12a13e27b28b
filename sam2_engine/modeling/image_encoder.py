"""Image encoder: the Hiera trunk and its feature pyramid (paper section 4, "Image encoder")."""

from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.modeling.hiera import Hiera
from sam2_engine.variants import ModelConfig

__all__ = ["FeaturePyramid", "ImageEncoder"]


class LateralConv(nn.Module):
    """A 1 x 1 convolution, wrapped as the checkpoints name it."""

    def __init__(self, channels: int, hidden_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, hidden_dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, hidden_dim, H, W)."""
        result: Tensor = self.conv(x)
        return result


class FeaturePyramid(nn.Module):
    """Lateral projections to ``hidden_dim`` channels; the stride-32 level is added into stride 16 only."""

    def __init__(self, stage_dims: tuple[int, ...], hidden_dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(LateralConv(channels, hidden_dim) for channels in reversed(stage_dims))

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Map the trunk's four levels (finest first) to the strides 4, 8 and 16, (B, hidden_dim, ., .)."""
        stride32, stride16, stride8, stride4 = (
            conv(x) for conv, x in zip(self.convs, reversed(features), strict=True)
        )
        # In float32, as the official code does, whatever the autocast type.
        coarse = F.interpolate(stride32.float(), scale_factor=2.0, mode="nearest")
        return stride4, stride8, stride16 + coarse.to(stride16.dtype)


class ImageEncoder(nn.Module):
    """Trunk and neck: pixels to a pyramid of three levels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = Hiera(config)
        self.neck = FeaturePyramid(config.stage_dims, config.hidden_dim)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (B, 3, S, S) to features of the strides 4, 8 and 16, each with ``hidden_dim`` channels."""
        levels: tuple[Tensor, Tensor, Tensor] = self.neck(self.trunk(pixels))
        return levels
