"""The campaign of bad input as a test: `run` gives mutated inputs to the command line, `inputs` makes them."""
