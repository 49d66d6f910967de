"""Work queue, expectations, back-off and recorder."""

from __future__ import annotations

from model.api.metadata import Metadata
from model.api.objects import Pod
from model.kernel.component import CUT, Io
from model.kernel.values import EMPTY
from reference_impl.lib import expectations, recorder, work_queue
from reference_impl.lib.backoff import WORK, Backoff
from reference_impl.lib.work_queue import EMPTY_QUEUE


class TestWorkQueue:
    def test_keys_leave_in_the_order_they_came_and_once(self) -> None:
        """Adding a waiting key again changes nothing."""
        queue = EMPTY_QUEUE
        for key in ("b", "a", "b"):
            queue = work_queue.add(queue, key)
        queue, first = work_queue.take(queue)
        queue, second = work_queue.take(queue)
        assert (first, second, queue.order) == ("b", "a", ())

    def test_a_key_added_while_processed_waits_until_that_is_done(self) -> None:
        """Never twice at once, never lost."""
        queue, key = work_queue.take(work_queue.add(EMPTY_QUEUE, "a"))
        queue = work_queue.add(queue, key)
        assert queue.order == ()
        assert work_queue.done(queue, key).order == ("a",)

    def test_failures_delay_the_key_and_never_drop_it(self) -> None:
        """The delay doubles from 5 ms to 1000 s and stays there."""
        queue = EMPTY_QUEUE
        delays = []
        for _ in range(60):
            io = Io(0)
            queue = work_queue.add_rate_limited(queue, "a", io)
            (key, delay), = io.timers
            assert key == "retry:a"
            delays.append(delay)
        assert delays[:4] == [5, 10, 20, 40]
        assert delays[-1] == 1_000_000
        assert work_queue.forget(queue, "a").failures == EMPTY

    def test_an_empty_queue_after_all_is_the_same_value_again(self) -> None:
        """No residue: worlds that differ only in history are equal."""
        queue, key = work_queue.take(work_queue.add(EMPTY_QUEUE, "a"))
        assert work_queue.done(queue, key) == EMPTY_QUEUE


class TestExpectations:
    def test_creations_are_counted_down(self) -> None:
        """The key waits until every creation was seen."""
        book = expectations.expect_creations(EMPTY, "rc", 2, 0)
        book = expectations.creation_observed(book, "rc")
        assert expectations.waits_ms(book, "rc", 1000) == expectations.TIMEOUT_MS - 1000
        book = expectations.creation_observed(book, "rc")
        assert expectations.waits_ms(book, "rc", 0) == 0
        assert book == EMPTY

    def test_a_deletion_counts_once_however_often_it_is_seen(self) -> None:
        """Terminating and gone are two events of one deletion."""
        book = expectations.expect_deletions(EMPTY, "rc", ("p1", "p2"), 0)
        for _ in range(2):
            book = expectations.deletion_observed(book, "rc", "p1")
        assert expectations.waits_ms(book, "rc", 0) > 0
        assert expectations.waits_ms(expectations.deletion_observed(book, "rc", "p2"), "rc", 0) == 0

    def test_too_old_expectations_count_as_met(self) -> None:
        """Five minutes, then the cache is believed again."""
        book = expectations.expect_creations(EMPTY, "rc", 1, 1000)
        assert expectations.waits_ms(book, "rc", 1000 + expectations.TIMEOUT_MS) == 0


class TestRecorder:
    POD = Pod(metadata=Metadata(name="web", namespace="default", uid="u1"))

    def test_a_repeated_event_is_folded_into_its_count(self) -> None:
        """The second write updates the first event."""
        book = recorder.NO_EVENTS
        for now in (0, 5000):
            book = recorder.record(book, self.POD, "Warning", "Failed", "no", "test", now)
        first, second = book.waiting
        assert first.metadata == second.metadata
        assert (first.count_, second.count_) == (1, 2)
        assert (second.first_timestamp, second.last_timestamp) == (
            "2016-07-01T00:00:00Z", "2016-07-01T00:00:05Z")

    def test_another_revision_of_the_object_is_another_event_where_asked_for(self) -> None:
        """The newer API of events compares references with their revisions."""
        book = recorder.NO_EVENTS
        for version in ("6", "7", "7"):
            metadata = self.POD.metadata._replace(resource_version=version)
            book = recorder.record(book, self.POD._replace(metadata=metadata), "Warning", "Failed",
                                   "no", "test", 0, by_revision=True)
        assert [event.count_ for event in book.waiting] == [1, 1, 2]
        names = [event.metadata.name for event in book.waiting]
        assert names[0] != names[1] == names[2]

    def test_events_of_one_moment_by_several_reporters_end_differently(self) -> None:
        """The end of an event's name tells events apart, also of different objects."""
        ends = {(recorder.record(recorder.NO_EVENTS, self.POD, "Normal", "Made", "it", component, 0)
                 .waiting[0].metadata.name or "").rpartition(".")[2]
                for component in ("replication-controller", "scheduler", "node-controller")}
        assert len(ends) == 3

    def test_a_write_of_unknown_outcome_is_repeated_and_a_reply_ends_it(self) -> None:
        """Events are written at least once while the server can be reached."""
        book = recorder.record(recorder.NO_EVENTS, self.POD, "Normal", "Made", "it", "test", 0)
        book = recorder.send(book, Io(0))
        assert not recorder.offers(book)
        io = Io(0)
        book = recorder.replied(book, CUT, io)
        assert len(io.requests) == 1
        assert recorder.replied(book, None, Io(0)).waiting == ()

    def test_what_waits_is_bounded(self) -> None:
        """The oldest that is not in flight gives way."""
        book = recorder.NO_EVENTS
        for number in range(200):
            book = recorder.record(book, self.POD, "Normal", f"Made{number}", "it", "test", 0)
        assert len(book.waiting) == recorder.WAITING_MAX
        assert book.waiting[-1].reason == "Made199"

    def test_many_alike_are_folded_into_one(self) -> None:
        """From the tenth different message on, one event tells the latest and their number."""
        book = recorder.NO_EVENTS
        for number in range(12):
            book = recorder.record(book, self.POD, "Normal", "Made", str(number), "test", 0)
        told = [(event.message, event.count_) for event in book.waiting]
        assert [message for message, _ in told[:9]] == [str(number) for number in range(9)]
        assert told[-1] == (recorder.COMBINED + "11", 3)


def test_the_delay_has_a_ceiling_for_any_number_of_failures() -> None:
    """Also for numbers whose power of two would be huge."""
    assert Backoff(5, 60).delay_ms(3) == 20
    assert Backoff(5, 60).delay_ms(10_000) == 60
    assert WORK.delay_ms(1) == 5
