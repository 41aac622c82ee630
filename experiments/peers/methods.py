"""SimCLR, DINO, MAE and segmentation: the loss of given views, and what follows a step."""

import copy
from typing import Any

import torch
from networks import MaeDecoder, PixelHeads, Projector, UNetDecoder, encoder
from torch import nn
from torch.nn import functional as F

from jaxssl.bench.serve import Unable

Views = dict[str, torch.Tensor]


def rows(views: torch.Tensor) -> torch.Tensor:
    """[batch, view, y, x, 1] or [batch, y, x, 1] as images [row, 1, y, x]."""
    return views.reshape(-1, 1, *views.shape[-3:-1])


class Method(nn.Module):
    """A network with jaxssl's names, in `net`; each method adds `loss(views)`."""

    net: nn.ModuleDict

    def __init__(self, recipe: dict[str, Any], options: dict[str, Any]):
        super().__init__()
        self.recipe, self.options, self.method = recipe, options, recipe["method"]
        self.size = recipe["data"]["layout"]["size"]
        self.net = nn.ModuleDict({"encoder": encoder(recipe["model"], self.size)})

    def begin(self) -> None:
        """Once the weights are there."""

    def follow(self) -> None:
        """After a step of the optimiser."""


class SimCLR(Method):
    def __init__(self, recipe: dict[str, Any], options: dict[str, Any]):
        super().__init__(recipe, options)
        if self.method["projector_norm"] or self.method["learn_temperature"] or self.method["negatives"] != "all":
            raise Unable("the peer's SimCLR has a plain projector, a fixed temperature and all negatives")
        self.net["head"] = Projector(self.net["encoder"].width, self.method["projector"], nn.ReLU())

    def loss(self, views: Views) -> torch.Tensor:
        z = F.normalize(self.net["head"](self.net["encoder"](rows(views["views"]))).float(), dim=1)
        logits = z @ z.T / self.method["temperature"]
        logits.fill_diagonal_(-torch.inf)
        return F.cross_entropy(logits, torch.arange(len(z), device=z.device) ^ 1)  # views of a sample lie together


class Prototypes(nn.Module):
    def __init__(self, count: int, dim: int):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(count, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(F.normalize(x, dim=-1), F.normalize(self.kernel, dim=-1))


class Dino(Method):
    def __init__(self, recipe: dict[str, Any], options: dict[str, Any]):
        super().__init__(recipe, options)
        own = self.method
        if own["targets"] != "centre" or own["koleo"] or own["ibot"] or not own["local_views"]:
            raise Unable(
                "the peer's DINO is that of 2021; say --method.targets centre --method.koleo 0 --method.ibot 0, and "
                "leave local views"
            )
        # As flax has it by default.
        self.net["head"] = Projector(self.net["encoder"].width, own["head"], nn.GELU(approximate="tanh"))
        self.net["prototypes"] = Prototypes(own["prototypes"], own["head"][-1])
        self.register_buffer("centre", torch.zeros(own["prototypes"]))

    def begin(self) -> None:
        self.teacher = copy.deepcopy(self.net).requires_grad_(False)

    def loss(self, views: Views) -> torch.Tensor:
        with torch.no_grad():
            known = self.said(self.teacher, views["global"]).float()
            of_teacher = ((known - self.centre) / self.options["heat"]).softmax(-1)
            momentum = self.method["centre_momentum"]
            self.centre = momentum * self.centre + (1 - momentum) * known.mean((0, 1))
        said = torch.cat([self.said(self.net, views[name]) for name in ("global", "local")], 1).float()
        of_student = (said / self.method["temperature"]).log_softmax(-1)
        # All pairs of views but those of a view with itself, in one contraction.
        every = (of_teacher.sum(1) * of_student.sum(1)).sum()
        own = (of_teacher * of_student[:, : of_teacher.shape[1]]).sum()
        pairs = of_teacher.shape[1] * (of_student.shape[1] - 1)
        return (own - every) / (pairs * len(said))

    @staticmethod
    def said(net: nn.ModuleDict, views: torch.Tensor) -> torch.Tensor:
        """[batch, view, prototype]"""
        found = net["prototypes"](net["head"](net["encoder"](rows(views))))
        return found.view(len(views), -1, found.shape[-1])

    @torch.no_grad()
    def follow(self) -> None:
        share = 1 - self.method["momentum"]
        torch._foreach_lerp_(list(self.teacher.parameters()), list(self.net.parameters()), share)


class Mae(Method):
    def __init__(self, recipe: dict[str, Any], options: dict[str, Any]):
        super().__init__(recipe, options)
        model = self.net["encoder"]
        self.patch = model.side
        grid = tuple(side // part for side, part in zip(self.size, self.patch, strict=True))
        values = self.patch[0] * self.patch[1]
        self.net["decoder"] = MaeDecoder(self.method["decoder"], model.width, grid, values, model.has_class)

    def loss(self, views: Views) -> torch.Tensor:
        images = rows(views["image"])
        tokens = self.net["encoder"].tokens_of(images, views["visible"].long())
        values = self.net["decoder"](tokens, views["restore"].long()).float()
        wanted = F.unfold(images, self.patch, stride=self.patch).transpose(1, 2)
        if self.method["normalise"]:
            var, mean = torch.var_mean(wanted, -1, keepdim=True)
            wanted = (wanted - mean) / (var + 1e-6).sqrt()
        scored = views["scored"].to(values.dtype)
        return (((values - wanted) ** 2).mean(-1) * scored).sum() / scored.sum()


class Segment(Method):
    def __init__(self, recipe: dict[str, Any], options: dict[str, Any]):
        super().__init__(recipe, options)
        model = recipe["model"]
        if "widths" not in model or self.method["freeze_encoder"] or self.method["dice"] != "image":
            raise Unable("the peer segments with a U-Net, all of it trained, and with the Dice of each image")
        self.net["decoder"] = UNetDecoder(model)
        self.net["head"] = PixelHeads(model["widths"], options["classes"], self.method["scales"])

    def loss(self, views: Views) -> torch.Tensor:
        maps = self.net["decoder"](self.net["encoder"].maps(rows(views["image"])))
        losses = [self.of_scale(logits.float(), views["mask"].long()) for logits in self.net["head"](maps)]
        weights = [0.5**scale for scale in range(len(losses))]
        return sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / sum(weights)

    def of_scale(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Half cross-entropy, half Dice of each image and class but the background."""
        y, x = (
            (2 * torch.arange(new, device=labels.device) + 1) * old // (2 * new)
            for new, old in zip(logits.shape[2:], labels.shape[1:], strict=True)
        )
        labels = labels[:, y[:, None], x]
        truth = F.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:].float()
        predicted = logits.softmax(1)[:, 1:]
        overlap, total = (predicted * truth).sum((2, 3)), (predicted + truth).sum((2, 3))
        dice = (2 * overlap + 1e-5) / (total + 1e-5)
        return 0.5 * F.cross_entropy(logits, labels) + 0.5 * (1 - dice).mean()


METHODS = {"simclr": SimCLR, "dino": Dino, "mae": Mae, "segment": Segment}
