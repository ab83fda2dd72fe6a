"""Studies, benchmarks, the oracle and the plots of single chapters: nothing that the method needs."""
