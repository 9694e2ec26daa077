"""all-MiniLM-L6-v2 as published, written out in torch: six BERT layers, mean pooling, unit length.

Only what this one model needs, so that the export has no dependency beyond torch and stays readable.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LAYERS, HEADS, WIDTH, INNER = 6, 12, 384, 1536
WORDS, POSITIONS = 30_522, 512
EPSILON = 1e-12
"""``layer_norm_eps`` of the published config.json; the other numbers above stand there too."""


class Layer(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.mixed = nn.Linear(WIDTH, WIDTH)
        self.mixed_norm = nn.LayerNorm(WIDTH, EPSILON)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH)
        self.down_norm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """States (batch, length, 384) and the additive attention bias (batch, 1, 1, length) to new states."""
        batch, length = states.shape[0], states.shape[1]

        def heads(linear: nn.Module) -> Tensor:
            out: Tensor = linear(states).reshape(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)
            return out

        scores = heads(self.query) @ heads(self.key).transpose(2, 3) / math.sqrt(WIDTH // HEADS) + bias
        context = torch.softmax(scores, dim=-1) @ heads(self.value)
        context = context.transpose(1, 2).reshape(batch, length, WIDTH)
        states = self.mixed_norm(states + self.mixed(context))
        inner = nn.functional.gelu(self.up(states))
        out: Tensor = self.down_norm(states + self.down(inner))
        return out


class Encoder(nn.Module):
    """Token ids and mask (batch, length; int64) to unit vectors (batch, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        # Every text is one segment: the vector of token type 0 is added to each position once and for all.
        self.positions = nn.Parameter(torch.empty(POSITIONS, WIDTH))
        self.norm = nn.LayerNorm(WIDTH, EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Padding is where the mask is 0; it changes nothing."""
        mask = attention_mask.to(torch.float32)
        bias = (1.0 - mask[:, None, None, :]) * -10_000.0
        states = self.norm(self.words(input_ids) + self.positions[: input_ids.shape[1]])
        for layer in self.layers:
            states = layer(states, bias)
        # Pooling and length as matrix products: onnxruntime sums one text in another order than several, products alike.
        weights = mask / mask.sum(dim=1, keepdim=True)
        mean = weights[:, None, :] @ states
        unit = mean / (mean @ mean.transpose(1, 2)).sqrt()
        out: Tensor = unit.squeeze(1)
        return out


def from_published(tensors: dict[str, Tensor]) -> Encoder:
    """The encoder with the published weights. Raises KeyError or RuntimeError when a tensor is missing or misshapen."""
    renamed = {
        "words.weight": tensors["embeddings.word_embeddings.weight"],
        "positions": tensors["embeddings.position_embeddings.weight"]
        + tensors["embeddings.token_type_embeddings.weight"][0],
    }
    modules = {"norm": "embeddings.LayerNorm"}
    inside = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "mixed": "attention.output.dense",
        "mixed_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "down_norm": "output.LayerNorm",
    }
    modules |= {
        f"layers.{i}.{ours}": f"encoder.layer.{i}.{name}" for i in range(LAYERS) for ours, name in inside.items()
    }
    for ours, name in modules.items():
        renamed |= {f"{ours}.{part}": tensors[f"{name}.{part}"] for part in ("weight", "bias")}
    encoder = Encoder()
    encoder.load_state_dict(renamed)
    return encoder.eval()
