"""Parallel calls of a function: in this process, on its machine, or on a cluster.

The engines are those of `dipy.utils.parallel.paramap`, which is not used itself: it
returns all results or none, so that a killed worker loses the results of all others,
and its ``n_jobs`` has no effect on dask and ray. Here every item has a result of its
own.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
import logging
import os
import time

from dipy_synth.errors import InputError, QualityError
from dipy_synth.utils.progress import progress_bar

ENGINES = ("serial", "joblib", "dask", "ray")

_LIBRARY = {"joblib": "joblib", "dask": "distributed", "ray": "ray"}
_ANSWER_S = 15.0  # timeout of a scheduler
_WORKER_S = 60.0  # timeout of a cluster without a worker
_DIED = "a worker died over it (killed, or out of memory: fewer jobs need less)"

logger = logging.getLogger("dipy")


def run_parallel(
    function,
    items,
    *,
    engine="serial",
    n_jobs=1,
    scheduler=None,
    desc="done",
    unit="item",
    verbose=True,
):
    """Call a function on each of many items.

    Failures of the function and of workers are returned as (None, message); the other
    items continue.

    Parameters
    ----------
    function : callable
        Function of one item. Engines other than serial need a function of a module, or
        a `functools.partial` of one.
    items : sequence
        Arguments of the calls.
    engine : {"serial", "joblib", "dask", "ray"}, optional
        The parallel engine. A script that uses "dask" needs the usual ``if __name__ ==
        "__main__":``. "ray" is joblib's backend of it: results come all at the end, and
        where a worker is killed, joblib's own processes do all items again.
    n_jobs : int, optional
        Number of items at a time; -1 for all processors of the job, -2 for all but one.
    scheduler : str, optional
        Address of a dask scheduler, for instance ``tcp://host:8786``. All its
        workers are used, whatever `n_jobs`; they need this package and must see the
        same files under the same absolute paths.
    desc, unit : str, optional
        Name of the progress bar, and what it counts.
    verbose : bool, optional
        Show a progress bar.

    Returns
    -------
    list of tuple (object, str or None)
        For each item, in order, the result (None if it failed) and the error message
        (None without an error).

    Raises
    ------
    InputError
        If an option is unknown, the engine is not installed, or no scheduler or no
        worker responds.
    """
    check_engine(engine, n_jobs=n_jobs, scheduler=scheduler)
    items, answers = list(items), {}
    if not items:
        return []
    if scheduler is not None:
        answering = _on_cluster(function, items, partial(_connect, scheduler))
    else:
        answering = _RUNNERS[engine](function, items, _at_a_time(n_jobs))
    with progress_bar(total=len(items), desc=desc, unit=unit, shown=verbose) as bar:
        for place, answer in answering:
            answers[place] = answer
            bar.update()
    return [answers[place] for place in range(len(items))]


class ParallelMap:
    """A function like `map` that runs in parallel and returns a list, in order.

    Parameters
    ----------
    **options
        Options of `run_parallel`.

    Raises
    ------
    InputError
        On a call, if an item fails.
    """

    def __init__(self, **options):
        self.options = options

    def __call__(self, function, items):
        answers = run_parallel(function, items, **self.options)
        for number, (_, problem) in enumerate(answers):
            if problem is not None:
                raise InputError(f"item {number} of {len(answers)}: {problem}")
        return [answer for answer, _ in answers]


def named(each, desc, *, unit="volume"):
    """Name the progress bar of a `ParallelMap`; return any other map as it is."""
    if not isinstance(each, ParallelMap):
        return each
    return ParallelMap(**each.options | {"desc": desc, "unit": unit})


def check_engine(engine, *, n_jobs=1, scheduler=None):
    """Check the options of `run_parallel`, before long computations.

    Errors are the same; the workers of a scheduler are not waited for.
    """
    if engine not in ENGINES or n_jobs == 0:
        raise InputError(
            f"engine {engine!r}, n_jobs {n_jobs}: expected one of {', '.join(ENGINES)} "
            "and 1 or more jobs (or -1)"
        )
    if scheduler is not None and engine not in ("serial", "dask"):
        raise InputError(
            f"scheduler {scheduler!r} is dask's, but engine is {engine!r}; expected "
            "engine 'dask'"
        )
    engine = "dask" if scheduler is not None else engine
    if engine == "serial" and n_jobs != 1:
        logger.warning(f"n_jobs {n_jobs}: the engine serial does one at a time")
    if engine in _LIBRARY and find_spec(_LIBRARY[engine]) is None:
        raise InputError(
            f"engine {engine!r}: {_LIBRARY[engine]} is not installed (pip install "
            f"'dipy_synth[{engine}]'); expected an engine that is, serial always is"
        )
    if scheduler is not None:
        _connect(scheduler).close()


def count_processors():
    """Count the processors that this process may use, of the machine's: int.

    A job on a cluster, ``taskset`` and containers may allow fewer than there are.
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _at_a_time(n_jobs):
    """Resolve a negative number of jobs: int."""
    return n_jobs if n_jobs > 0 else max(1, count_processors() + 1 + n_jobs)


def processors_each(engine, *, n_jobs=1, scheduler=None):
    """Return the number of processors of each call, so that calls do not compete.

    On a cluster it is 1: dask counts a thread of a worker as a processor.
    """
    if scheduler is not None:
        return 1
    at_a_time = 1 if engine == "serial" else _at_a_time(n_jobs)
    return max(1, count_processors() // at_a_time)


# Each runner yields (index, (result, error message)) in order of completion.


def _attempt(function, item):
    """Call the function; return its result, or the error message."""
    try:
        return function(item), None
    except (InputError, QualityError) as error:
        return None, str(error)
    except Exception as error:
        logger.debug(f"{item} failed", exc_info=True)
        return None, f"{type(error).__name__}: {error}"


def _serial(function, items, n_jobs):
    for place, item in enumerate(items):
        yield place, _attempt(function, item)


def _joblib(function, items, n_jobs):
    """Run by joblib. A killed worker breaks its pool: find the item, then continue."""
    waiting = dict(enumerate(items))
    while waiting:
        try:
            for place, answer in _pool(function, waiting, n_jobs):
                del waiting[place]
                yield place, answer
        except BrokenProcessPool:
            # those that were running, now one at a time
            for place in [*waiting][:n_jobs]:
                yield place, _alone(function, waiting.pop(place))


def _pool(function, waiting, n_jobs):
    from joblib import Parallel, delayed

    # Nothing is dispatched ahead, so that the first ones not returned were running.
    options = {"batch_size": 1, "pre_dispatch": n_jobs}
    pool = Parallel(n_jobs=n_jobs, return_as="generator_unordered", **options)
    return pool(delayed(_placed)(function, *pair) for pair in [*waiting.items()])


def _placed(function, place, item):
    return place, _attempt(function, item)


def _alone(function, item):
    try:
        # joblib would run a single job in this process, which must survive.
        ((_, answer),) = _pool(function, {0: item}, 2)
        return answer
    except BrokenProcessPool:
        return None, _DIED


def _dask(function, items, n_jobs):
    return _on_cluster(function, items, partial(_local_client, n_jobs))


@contextmanager
def _local_client(n_jobs):
    import dask
    from distributed import Client, LocalCluster

    options = {"n_workers": n_jobs, "threads_per_worker": 1, "dashboard_address": None}
    # it gives up a killed worker that is not there after 15 s, though it may be about
    # to start again for the second or third time
    patient = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    with dask.config.set(patient), LocalCluster(**options) as cluster:
        with Client(cluster, set_as_default=False) as client:
            yield client


def _connect(scheduler):
    """Connect to a scheduler that responds."""
    from distributed import Client

    try:
        # In a thread, since a notebook has an event loop of its own in this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _greet(scheduler)).result()
        return Client(scheduler, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"scheduler {scheduler!r}: no dask scheduler responds within "
            f"{_ANSWER_S:.0f} s ({type(error).__name__}: {error}); expected the "
            "address of one that runs, for instance tcp://host:8786"
        ) from error


async def _greet(scheduler):
    """Check the handshake; `Client` would wait forever for a silent server."""
    from distributed.comm import connect

    answer = connect(scheduler, timeout=_ANSWER_S)
    await (await asyncio.wait_for(answer, _ANSWER_S + 1)).close()


def _on_cluster(function, items, connect):
    """Run by dask, which itself repeats calls of killed workers, three times.

    It blames a death on all items that the worker had, and fails them together: where
    there are several, each is tried alone.
    """
    with connect() as client:
        died = []
        for place, answer in _gathered(client, function, dict(enumerate(items))):
            if answer[1] == _DIED:
                died.append(place)
            else:
                yield place, answer
        for place in died:
            if len(died) == 1:
                yield place, (None, _DIED)
            else:
                yield from _gathered(client, function, {place: items[place]})


def _gathered(client, function, items):
    """Yield the answers of items, by their places, as they come."""
    from distributed import as_completed

    futures = client.map(partial(_attempt, function), [*items.values()], pure=False)
    waiting = {future.key: (n, future) for n, future in zip(items, futures)}
    coming, seen = as_completed(futures, loop=client.loop), time.monotonic()
    del futures  # released results are not recomputed when a worker is killed
    while waiting:
        for future in coming.next_batch(block=False):
            yield waiting.pop(future.key)[0], _outcome(future)
            del future
        if client.scheduler_info().get("workers"):  # none without a connection
            seen = time.monotonic()
        elif time.monotonic() - seen > _WORKER_S:
            break
        time.sleep(0.1)
    for place, _ in waiting.values():
        yield place, (None, f"not done: no worker for {_WORKER_S:.0f} s")


def _outcome(future):
    from distributed import KilledWorker

    try:
        return future.result(timeout=_WORKER_S)
    except KilledWorker:
        return None, _DIED
    except Exception as error:
        if future.cancelled():
            return None, "not done: the connection to the scheduler was lost"
        return None, f"{type(error).__name__}: {error}"


def _ray(function, items, n_jobs):
    """Run by joblib's backend of ray; where a worker was killed, by joblib alone."""
    from joblib import Parallel, delayed
    from ray.exceptions import RayError
    from ray.util.joblib import register_ray

    register_ray()
    calls = (delayed(_placed)(function, *pair) for pair in enumerate(items))
    try:
        yield from Parallel(n_jobs=n_jobs, backend="ray", batch_size=1)(calls)
    except RayError:
        # all results are lost then, and nothing says which item it was
        logger.warning("a worker of ray died: all items again, by joblib")
        yield from _joblib(function, items, n_jobs)


_RUNNERS = {"serial": _serial, "joblib": _joblib, "dask": _dask, "ray": _ray}
