"""Every engine: answers in order, a failure and a dead worker reported.

The function is `eval`, which every process has; so an item is what is to happen.
"""

import os
import socket
import sys
from threading import Thread
import time

import pytest

from dipy_synth.errors import InputError
from dipy_synth.utils import parallel
from dipy_synth.utils.parallel import (
    ParallelMap,
    check_engine,
    named,
    processors_each,
    run_parallel,
)

PID = "__import__('os').getpid()"
DIE = "__import__('os')._exit(9)"
SLOW = "__import__('time').sleep(0.3) or 0"


def run(items, **options):
    return run_parallel(eval, items, verbose=False, **options)


@pytest.fixture(scope="module")
def running_ray():
    """Start ray once, which takes long."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(params=["serial", "joblib", "dask", "ray"])
def engine(request):
    """Return the engines that are installed."""
    if request.param == "ray":
        request.getfixturevalue("running_ray")
    if request.param != "serial":
        pytest.importorskip({"dask": "distributed"}.get(request.param, request.param))
    return request.param


@pytest.fixture
def cluster():
    """Return a cluster of one worker, a process of one thread."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        yield cluster


def test_answers_come_in_order_and_a_failure_is_one_of_them(engine):
    answers = run([SLOW, "1 / 0", "2", PID], engine=engine, n_jobs=2)
    assert answers[:3] == [
        (0, None),
        (None, "ZeroDivisionError: division by zero"),
        (2, None),
    ]
    assert (answers[3][0] == os.getpid()) == (engine == "serial")
    assert run([], engine=engine) == []


@pytest.mark.parametrize("engine", ["joblib", "dask", "ray"], indirect=True)
def test_a_worker_that_dies_is_reported_and_costs_one_item(engine):
    items = ["0", "1", DIE, "3", "4", "5"]
    answers = run(items, engine=engine, n_jobs=2)
    assert [value for value, _ in answers] == [0, 1, None, 3, 4, 5]
    words = [words for _, words in answers]
    assert "a worker died" in words.pop(2) and words == [None] * 5


def test_what_a_dead_worker_had_besides_is_not_blamed():
    pytest.importorskip("distributed")
    answers = run([DIE, "1"], engine="dask", n_jobs=1)  # one worker has both
    assert answers[1] == (1, None) and "a worker died" in answers[0][1]


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_n_jobs_is_how_many_processes_there_are(engine, request):
    library = pytest.importorskip({"dask": "distributed"}.get(engine, engine))
    if engine == "ray":
        library.shutdown()
    items = [f"({SLOW}, {PID})[1]"] * 4
    assert len({value for value, _ in run(items, engine=engine, n_jobs=1)}) == 1


def test_a_cluster_does_the_work_and_is_left_running(cluster):
    address = cluster.scheduler_address
    for _ in range(2):
        answers = run(["1 / 0", PID], scheduler=address)
        assert "ZeroDivisionError" in answers[0][1]
        assert answers[1][1] is None and answers[1][0] != os.getpid()


def test_a_cluster_that_goes_away_is_reported(cluster, monkeypatch):
    monkeypatch.setattr(parallel, "_ANSWER_S", 2.0)  # and it is sought for as long

    def close_at_work():
        while not cluster.scheduler.tasks:
            time.sleep(0.05)
        cluster.close()

    thread = Thread(target=close_at_work)
    thread.start()
    items = ["__import__('time').sleep(60)"]
    ((_, words),) = run(items, scheduler=cluster.scheduler_address)
    thread.join()
    assert "not done: the connection to the scheduler was lost" in words


def test_a_cluster_without_a_worker_is_reported(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "_WORKER_S", 0.5)
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        ((value, words),) = run(["1"], scheduler=cluster.scheduler_address)
    assert value is None and "no worker" in words


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{}", "127.0.0.1:{}", "magic://x"])
def test_no_scheduler_at_an_address_is_reported(address, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "_ANSWER_S", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = address.format(free.getsockname()[1])
    with pytest.raises(InputError, match=f"scheduler '{address}': no dask scheduler"):
        run(["1"], scheduler=address)


def test_something_else_at_an_address_is_reported(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "_ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=f"'{address}': no dask scheduler"):
            run(["1"], scheduler=address)


@pytest.mark.parametrize("engine", ["joblib", "dask", "ray"])
def test_an_engine_that_is_not_installed_is_reported(engine, monkeypatch):
    library = {"dask": "distributed"}.get(engine, engine)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"{engine!r}: {library} is not .*\[{engine}"):
        run(["1"], engine=engine)


def test_a_scheduler_needs_dask(monkeypatch):
    with pytest.raises(InputError, match="is dask's, but engine is 'ray'"):
        run(["1"], engine="ray", scheduler="tcp://host:8786")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="distributed is not installed"):
        run(["1"], scheduler="tcp://host:8786")


def test_options_of_nonsense_are_reported():
    for options in ({"engine": "magic"}, {"n_jobs": 0}):
        with pytest.raises(InputError, match="expected one of serial, joblib, dask, r"):
            check_engine(**{"engine": "serial", **options})


def test_processors_are_shared(monkeypatch):
    eight = set(range(8))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: eight, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)  # of the machine
    assert processors_each("serial", n_jobs=4) == 8
    assert processors_each("joblib", n_jobs=3) == 2
    assert processors_each("joblib", n_jobs=99) == 1
    assert processors_each("joblib", n_jobs=-1) == 1
    assert processors_each("joblib", n_jobs=-5) == 2
    assert processors_each("serial", scheduler="tcp://host:8786") == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    assert processors_each("serial") == 64


def test_a_bar_counts_the_items(capsys):
    run_parallel(eval, ["1", "2", "3"])
    assert "3/3" in capsys.readouterr().err


def test_a_bar_is_named_by_its_step_and_other_maps_are_kept(capsys):
    assert named(map, "texture") is map
    each = named(ParallelMap(), "texture, real", unit="brain")
    assert each(abs, [-1, 2]) == [1, 2]
    assert "texture, real" in capsys.readouterr().err


def test_parallel_map_gives_answers_or_says_which_failed():
    each = ParallelMap(verbose=False)
    assert each(abs, [-1, 2]) == [1, 2]
    with pytest.raises(InputError, match="item 1 of 2: TypeError"):
        each(abs, [1, "a"])


def test_jobs_of_the_serial_engine_are_named(caplog):
    check_engine("serial")
    assert not caplog.text
    check_engine("serial", n_jobs=3)
    assert "n_jobs 3: the engine serial does one at a time" in caplog.text
