"""One function over many items: in this process, on its machine, or on a cluster.

The engines are those of `dipy.utils.parallel.paramap`, driven here and not by it:
paramap gives all answers or none, so that one worker which dies (killed, or out of
memory) costs the answers of all the others, and its ``n_jobs`` does not reach dask and
ray. Here every item has an answer of its own, as it comes.
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

from dipy.utils.multiproc import determine_num_processes

from dipy_synth.errors import InputError, QualityError
from dipy_synth.utils.progress import progress_bar

ENGINES = ("serial", "joblib", "dask", "ray")

_LIBRARY = {"joblib": "joblib", "dask": "distributed", "ray": "ray"}
_ANSWER_S = 15.0  # in which a scheduler answers
_WORKER_S = 60.0  # for which a cluster may be without a worker
_DIED = "a worker died over it (killed, or out of memory: fewer jobs need less)"

logger = logging.getLogger("dipy_synth")


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

    An item on which the function fails, or over which a worker dies, is told in its
    answer and does not stop the others.

    Parameters
    ----------
    function : callable
        Takes an item. For engines other than serial it is sent to other processes:
        a function of a module, or a `functools.partial` of one.
    items : sequence
        What to call it on.
    engine : {"serial", "joblib", "dask", "ray"}, optional
        What runs them. A script that uses "dask" needs the usual
        ``if __name__ == "__main__":``.
    n_jobs : int, optional
        Items at a time; -1 stands for all processors.
    scheduler : str, optional
        Address of a dask scheduler, for instance ``tcp://host:8786``. Its workers,
        as many as it has, do the work, whatever `n_jobs`: they need this package and
        see the same files under the same absolute paths.
    desc, unit : str, optional
        Name of the progress bar, and what it counts.
    verbose : bool, optional
        Show a progress bar.

    Returns
    -------
    list of tuple (object, str or None)
        For each item, in order, what the function gave (None if it failed) and what
        went wrong (None if nothing).

    Raises
    ------
    InputError
        If an option is not known, the engine is not installed, or no scheduler or no
        worker answers.
    """
    check_engine(engine, n_jobs=n_jobs, scheduler=scheduler)
    items, answers = list(items), {}
    if not items:
        return []
    if scheduler is not None:
        answering = _on_cluster(function, items, partial(_connect, scheduler))
    else:
        answering = _RUNNERS[engine](function, items, determine_num_processes(n_jobs))
    with progress_bar(total=len(items), desc=desc, unit=unit, shown=verbose) as bar:
        for place, answer in answering:
            answers[place] = answer
            bar.update()
    return [answers[place] for place in range(len(items))]


def map_in_parallel(**options):
    """Give a function like `map` that runs as `run_parallel` does.

    Parameters
    ----------
    **options
        Of `run_parallel`.

    Returns
    -------
    callable
        ``(function, items) -> list`` of what the function gives, in order. It raises
        an InputError where an item fails.
    """

    def each(function, items):
        answers = run_parallel(function, items, **options)
        for number, (_, problem) in enumerate(answers):
            if problem is not None:
                raise InputError(f"item {number} of {len(answers)}: {problem}")
        return [answer for answer, _ in answers]

    return each


def check_engine(engine, *, n_jobs=1, scheduler=None):
    """Refuse what `run_parallel` cannot run with, before hours of other work.

    Parameters
    ----------
    engine, n_jobs, scheduler
        As for `run_parallel`.

    Raises
    ------
    InputError
        As `run_parallel`, except that the workers of a scheduler are not waited for.
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
    if engine in _LIBRARY and find_spec(_LIBRARY[engine]) is None:
        raise InputError(
            f"engine {engine!r}: {_LIBRARY[engine]} is not installed (pip install "
            f"'dipy_synth[{engine}]'); expected an engine that is, serial always is"
        )
    if scheduler is not None:
        _connect(scheduler).close()


def processors_each(engine, *, n_jobs=1, scheduler=None):
    """Tell how many processors each call may use, so that calls do not fight for them.

    Parameters
    ----------
    engine, n_jobs, scheduler
        As for `run_parallel`.

    Returns
    -------
    int
        On a cluster 1: dask counts a thread of a worker as a processor.
    """
    if scheduler is not None:
        return 1
    at_a_time = 1 if engine == "serial" else determine_num_processes(n_jobs)
    return max(1, (os.cpu_count() or 1) // at_a_time)


# Each runner yields (place, (what the function gave, what went wrong)) as they come.


def _attempt(function, item):
    """Call the function; a failure is an answer, too."""
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
    """One death breaks joblib's pool: find over which item, then go on."""
    waiting = dict(enumerate(items))
    while waiting:
        try:
            for place, answer in _pool(function, waiting, n_jobs):
                del waiting[place]
                yield place, answer
        except BrokenProcessPool:
            for place in [*waiting][:n_jobs]:  # what was running, now one at a time
                yield place, _alone(function, waiting.pop(place))


def _pool(function, waiting, n_jobs):
    from joblib import Parallel, delayed

    # Nothing is sent ahead, so that what runs is what was sent first and is not back.
    options = {"batch_size": 1, "pre_dispatch": n_jobs}
    pool = Parallel(n_jobs=n_jobs, return_as="generator_unordered", **options)
    return pool(delayed(_placed)(function, *pair) for pair in [*waiting.items()])


def _placed(function, place, item):
    return place, _attempt(function, item)


def _alone(function, item):
    try:
        # joblib would run a single job in this process, which is to live on.
        ((_, answer),) = _pool(function, {0: item}, 2)
        return answer
    except BrokenProcessPool:
        return None, _DIED


def _dask(function, items, n_jobs):
    return _on_cluster(function, items, partial(_local_client, n_jobs))


@contextmanager
def _local_client(n_jobs):
    from distributed import Client, LocalCluster

    options = {"n_workers": n_jobs, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster:
        with Client(cluster, set_as_default=False) as client:
            yield client


def _connect(scheduler):
    """Give a client of a scheduler that answers."""
    from distributed import Client

    try:
        # In a thread, since a notebook has an event loop of its own in this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _greet(scheduler)).result()
        return Client(scheduler, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"scheduler {scheduler!r}: no dask scheduler answers within "
            f"{_ANSWER_S:.0f} s ({type(error).__name__}: {error}); expected the "
            "address of one that runs, for instance tcp://host:8786"
        ) from error


async def _greet(scheduler):
    """Shake hands; `Client` would wait for ever for one that listens and is silent."""
    from distributed.comm import connect

    answer = connect(scheduler, timeout=_ANSWER_S)
    await (await asyncio.wait_for(answer, _ANSWER_S + 1)).close()


def _on_cluster(function, items, connect):
    """Dask itself repeats what a dead worker leaves, three times by default."""
    from distributed import as_completed

    with connect() as client:
        futures = client.map(partial(_attempt, function), items, pure=False)
        waiting = {future.key: (n, future) for n, future in enumerate(futures)}
        coming, seen = as_completed(futures, loop=client.loop), time.monotonic()
        del futures  # what dask may forget, it need not repeat when its worker dies
        while waiting:
            for future in coming.next_batch(block=False):
                yield waiting.pop(future.key)[0], _outcome(future)
                del future
            if client.scheduler_info().get("workers"):  # nothing of one that is lost
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
    """Ray, too, repeats what a dead worker leaves, three times by default."""
    import ray

    with _ray_running(n_jobs):
        task = ray.remote(_attempt)
        places = {task.remote(function, item): p for p, item in enumerate(items)}
        while places:
            (done,), _ = ray.wait([*places])
            try:
                answer = ray.get(done)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                answer = None, _DIED
            except ray.exceptions.RayError as error:
                answer = None, f"{type(error).__name__}: {error}"
            yield places.pop(done), answer


@contextmanager
def _ray_running(n_jobs):
    """Start ray and stop it, unless it runs already."""
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(
        num_cpus=n_jobs,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield
    finally:
        ray.shutdown()


_RUNNERS = {"serial": _serial, "joblib": _joblib, "dask": _dask, "ray": _ray}
