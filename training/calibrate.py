"""How far the activations reach, on code and prose of the packages that ``requirements.txt`` pins.

Those texts are the same wherever the pins are installed, are nobody's test set and need not be copied here.
"""

from __future__ import annotations

import ast
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from quantise import Reach, sites
from sessions import batches, session
from tokenizers import Tokenizer

_PACKAGES = {"networkx": (".py",), "numpy": (".py", ".pyi", ".h"), "onnx": (".py", ".proto"), "sympy": (".py",)}
_FILES_PER_PACKAGE = 110
_LENGTHS = (60, 200, 800, 1200)
"""Characters per passage, in turn."""


def texts() -> list[str]:
    """About 600 passages: code, one-line descriptions (as short as a question) and the prose of package descriptions."""
    out = []
    for package, endings in _PACKAGES.items():
        distribution = metadata.distribution(package)
        paths = sorted(str(path) for path in distribution.files or () if str(path).endswith(endings))
        step = max(1, len(paths) // _FILES_PER_PACKAGE)
        for count, path in enumerate(paths[::step][:_FILES_PER_PACKAGE]):
            content = Path(str(distribution.locate_file(path))).read_text(encoding="utf-8", errors="replace")
            start = len(content) // 3
            out.append(content[start : start + _LENGTHS[count % len(_LENGTHS)]])
            if path.endswith(".py") and count % 2:
                out += _descriptions(content)[:1]
        prose = distribution.metadata["Description"]
        out += [prose[start : start + 900] for start in range(0, min(len(prose), 9_000), 900)]
    return [text for text in out if text.strip()]


def reaches(model: onnx.ModelProto, tokenizer: Tokenizer) -> dict[str, Reach]:
    """The reach of each site of the fused fp32 graph; padding does not count."""
    names = sites(model)
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    run = session(probe.SerializeToString(), threads=2)
    out: dict[str, Reach] = {}
    for batch in batches(tokenizer, texts()):
        for name, values in zip(names, run.run(names, batch.feed()), strict=True):
            rows = values[batch.mask.astype(bool)]
            low, high = rows.min(axis=0), rows.max(axis=0)
            if name in out:
                low, high = np.minimum(low, out[name].low), np.maximum(high, out[name].high)
            out[name] = Reach(low, high)
    return out


def _descriptions(source: str) -> list[str]:
    """The first lines of a module's docstrings."""
    documented = (ast.FunctionDef, ast.ClassDef, ast.Module)
    found = (ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, documented))
    return [text.strip().split("\n")[0] for text in found if text and text.strip()]
