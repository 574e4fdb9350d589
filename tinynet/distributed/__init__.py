"""Several processes that train one model: `group` is what they share, `mpi` how they reach each other."""
