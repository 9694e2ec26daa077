"""`python -m skep`."""

from __future__ import annotations

from skep.cli import main

if __name__ == "__main__":
    main()
