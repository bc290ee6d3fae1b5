"""Loggers by name, or with all they have; handlers that work as those that were made there."""

import logging
import logging.handlers
import queue

import pytest

from helpers.stock import arrives, copy


@pytest.fixture
def log(tmp_path):
    """A handler that writes to a file, and the file."""
    path = tmp_path / "log"
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    yield handler, str(path)
    handler.close()


def test_loggers_are_those_of_their_name():
    loggers = [logging.getLogger("ferropickle.tests.child"), logging.getLogger()]
    assert copy(loggers) == loggers
    arrives(
        loggers,
        """
        import logging
        assert obj[0] is logging.getLogger("ferropickle.tests.child")
        assert obj[1] is logging.getLogger()
        assert obj[0].handlers == [] and obj[0].parent is obj[1]
        """,
    )


def test_a_logger_made_apart_brings_what_it_has(log):
    handler, path = log
    logger = logging.Logger("apart", logging.INFO)
    logger.addHandler(handler)
    logger.parent = logging.getLogger("ferropickle.tests")
    assert logger.isEnabledFor(logging.INFO)
    arrives(
        [logger, path],
        """
        import logging
        logger, path = obj
        assert (logger.name, logger.level) == ("apart", logging.INFO)
        assert logger.parent is logging.getLogger("ferropickle.tests")
        logger.debug("no")
        logger.info("hello %s", "there")
        assert open(path).read() == "INFO hello there\\n"
        assert "apart" not in logging.Logger.manager.loggerDict
        """,
    )


def test_a_handler_goes_on_with_its_file(log):
    handler, path = log
    handler.setLevel(logging.WARNING)
    handler.addFilter(logging.Filter("app"))
    handler.handle(logging.makeLogRecord({"msg": "first", "levelname": "WARNING", "name": "app"}))
    arrives(
        [handler, path],
        """
        import logging
        handler, path = obj
        assert handler.level == logging.WARNING
        for name in ("app", "other"):
            record = logging.makeLogRecord({"msg": "next", "levelname": "ERROR", "name": name})
            handler.handle(record)
        assert open(path).read() == "WARNING first\\nERROR next\\n"
        assert handler.lock.acquire(False)
        """,
    )


def test_a_handler_is_flushed_at_exit_and_free_in_a_fork(log):
    handler, path = log
    memory = logging.handlers.MemoryHandler(100, target=handler)
    arrives(
        memory,
        """
        import logging, os, threading
        obj.handle(logging.makeLogRecord({"msg": "kept", "levelname": "INFO", "levelno": 20}))
        held, done = threading.Event(), threading.Event()
        def hold():
            with obj.lock:
                held.set()
                done.wait()
        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        held.wait()
        child = os.fork()
        if not child:
            os._exit(0 if obj.lock.acquire(False) else 1)
        assert os.waitpid(child, 0)[1] == 0
        done.set()
        holder.join()
        """,
    )
    with open(path) as file:
        assert file.read() == "INFO kept\n"


def test_standard_streams_are_the_receiver_s():
    arrives(
        [logging.StreamHandler(), logging.NullHandler()],
        """
        import sys
        assert obj[0].stream is sys.stderr
        assert obj[1].lock is None
        """,
    )


def test_queues_and_rotation(tmp_path):
    path = tmp_path / "rotated"
    rotating = logging.handlers.RotatingFileHandler(path, maxBytes=20, backupCount=1)
    queued = logging.handlers.QueueHandler(queue.Queue())
    queued.handle(logging.makeLogRecord({"msg": "waiting"}))
    arrives(
        [rotating, queued, str(path)],
        """
        import logging, os
        rotating, queued, path = obj
        assert queued.queue.get().msg == "waiting"
        for _ in range(2):
            rotating.handle(logging.makeLogRecord({"msg": "x" * 15}))
        assert os.path.exists(path + ".1")
        """,
    )
    rotating.close()


def test_a_connection_is_made_again_when_there_is_something_to_send():
    handler = logging.handlers.SocketHandler("localhost", 1)
    handler.sock = object()
    made = copy(handler)
    assert (made.sock, made.host, made.port) == (None, "localhost", 1)
    handler.sock = None


def test_what_a_handler_of_the_user_s_says_goes_first():
    class Own(logging.Handler):
        def __reduce__(self):
            return int, ()

    assert copy(Own()) == 0


def test_adapters_formatters_and_records():
    adapter = logging.LoggerAdapter(logging.getLogger("ferropickle.tests"), {"user": "me"})
    record = logging.makeLogRecord({"msg": "%s!", "args": ("hi",)})
    arrives(
        [adapter, record, logging.Formatter("<%(message)s>")],
        """
        adapter, record, formatter = obj
        assert adapter.process("m", {}) == ("m", {"extra": {"user": "me"}})
        assert formatter.format(record) == "<hi!>"
        """,
    )
