"""One file per language; ``registry.LANGUAGES`` lists them."""
