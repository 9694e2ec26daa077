"""One module per format, each with ``read(source) -> Document``; the table of formats names them."""
