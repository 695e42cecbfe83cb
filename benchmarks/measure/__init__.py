"""Measures a run of the suite: start with `runner.Runner`, which goes through the cells of a plan.

From a run down to a message, each module imports only those below it:

    runner        a run: its time limit, its cells, the time to an accuracy
    progress      the bar with the time left
    goals         the time to an accuracy
    cells         one cell: its samples, and the dispatch and memory beside them
    estimates     of the time that a cell takes, and a first call
    sampler       the methods of a cell: built, checked, and timed in rounds
    sides         of a comparison: what each runs, and where that comes from
    pool          the worker processes, one for each framework, and the calls to them
    worker        the functions that run in a worker process
    messages      the tasks, answers and errors of these calls

A call names a function of `worker.Worker` and its arguments, as in `pool.call("jax", Worker.drop,
name)`, so that the type checker sees the arguments and the result.
"""
