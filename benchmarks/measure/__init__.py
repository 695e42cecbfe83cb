"""Measures a run of the suite: start with `runner.Runner`, which goes through the cells of a plan.

From a run down to a sample, each module imports only those below it:

    runner      a run: its time limit, its cells, the time to an accuracy; what is kept on the way
    goals       the time to an accuracy; `costs` and `progress` estimate and show the time left
    cells       one cell: its samples, and what is measured beside them; `expectations` of it
    sampler     the methods of a cell: built, checked, and timed in rounds; `order` is theirs
    pool        the worker processes, one for each framework, and the calls to them
    worker      the functions that run in a worker process
    messages    the tasks, answers and errors of these calls

A call is a function of `worker.Worker` with its arguments, `pool.call("jax", Worker.sample, name,
passes)`: the type checker sees the arguments and the result.
"""
