"""How long a passage is. Lengths are UTF-8 bytes: for ASCII the number of characters, and for other scripts nearer to the
number of tokens an embedding model reads than characters are (its window is what a passage must fit in).
"""

from __future__ import annotations

TARGET_BYTES = 750
"""Passages grow up to this. Source: semble 0.7.0, whose recipe of 750-character passages along syntax-tree siblings
reaches NDCG@10 0.854 over 63 repositories."""

WHOLE_BYTES = 1_000
"""A unit up to this stays in one piece: cutting a function of 900 bytes in 750 and 150 serves nobody."""

HARD_MAX_BYTES = 1_500
"""No passage is longer; twice the target, so that whatever must be cut gives pieces of at least half of it."""

FRAGMENT_BYTES = 150
"""Shorter pieces join a neighbour: a fifth of the target, about three lines, too little to be found by."""

TAIL_BYTES = 375
"""The rest of a unit that was cut stands alone from here (half of the target); a shorter rest shares the next passage."""

MAX_TREE_BYTES = 1 << 20
"""Larger files are cut by lines. The size limit of the walk (1 MiB); a tree takes 17 bytes per byte of Python (measured)
and up to 250 on hostile input."""
