"""A process that reads files, when the one that it reads for is gone."""

import threading
from multiprocessing import Pipe

from jaxssl.data.ingest import pool


def test_a_reader_ends_in_silence_when_its_parent_was_killed_with_words_unread(monkeypatch):
    monkeypatch.setattr(pool.signal, "signal", lambda *given: None)  # which the main thread alone may call
    ours, theirs = Pipe()
    ended = []

    def serve():
        try:
            pool._serve(theirs, lambda job, reading: None)
        except BaseException as error:
            ended.append(error)
        else:
            ended.append(None)

    reader = threading.Thread(target=serve)
    reader.start()
    assert ours.poll(10)
    ours.close()
    reader.join(10)
    assert ended == [None]
