"""`python -m skep`."""

from __future__ import annotations

if __name__ == "__main__":
    import gc

    # Loading code makes many objects and no garbage; not looking for any saves 20 ms. `skep.cli.lazy` turns it on again.
    gc.disable()

    from skep.cli import main

    main()
