"""Whatever runs together, each request gets its own rows, and nobody waits for ever."""

import asyncio
import contextlib
import time
from collections import deque
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.errors import EngineFailure
from lockstep_service.batching.batcher import AHEAD_BELOW_S, MOST_IN_THREAD, THREAD_ABOVE_S, Batcher
from lockstep_service.batching.run_cost import RunCost, measure_cost
from lockstep_service.errors import DeadlineExceeded, NotServing, QueueFull
from lockstep_service.view.telemetry import RunMetrics, Telemetry

LONG_S = 60.0
PATIENCE_S = 5.0
IN_THREAD_S = (THREAD_ABOVE_S + AHEAD_BELOW_S) / 2
"""A run of this length takes place in the thread, and the next one may wait for the thread."""


class Doubling:
    """An engine that doubles, and notes how many rows each run had."""

    def __init__(self):
        self.runs = []

    def __call__(self, features):
        self.runs.append(len(features))
        return features * 2, features[:, 0].astype(np.int64)


class Failing(Doubling):
    """Fails where a row holds the value -1, with the error that it was given."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __call__(self, features):
        answer = super().__call__(features)
        if (features == -1).any():
            raise self.error
        return answer


class Shrinking(Doubling):
    """Loses a row of any run of several."""

    def __call__(self, features):
        first, second = super().__call__(features)
        return (first, second[1:]) if len(features) > 1 else (first, second)


def batcher(run, max_batch_rows=8, max_queue_rows=1000, telemetry=None, *, in_thread=False):
    metrics = RunMetrics(telemetry or Telemetry(), "model", 1)
    return Batcher(
        run,
        metrics,
        max_batch_rows=max_batch_rows,
        max_queue_rows=max_queue_rows,
        cost=RunCost(IN_THREAD_S if in_thread else 0.0, 0.0),
    )


async def submit(subject, features, timeout_s):
    return await subject.submit(features, timeout_s)


def rows(*values):
    return np.array(values, np.float32).reshape(-1, 1)


def assert_own(features, answer):
    doubled, integers = answer
    assert doubled.dtype == np.float32
    np.testing.assert_array_equal(doubled, features * 2)
    np.testing.assert_array_equal(integers, features[:, 0].astype(np.int64))


def run(coroutine):
    """Run to the end, or fail: a request that waits for ever is the defect looked for."""

    async def bounded():
        async with asyncio.timeout(PATIENCE_S):
            return await coroutine

    return asyncio.run(bounded())


async def gathered(subject, requests):
    return await asyncio.gather(
        *(submit(subject, features, LONG_S) for features in requests), return_exceptions=True
    )


def numbered(sizes):
    """Requests of these sizes whose values are all different."""
    starts = np.cumsum([0, *sizes])
    return [rows(*range(a, b)) for a, b in pairwise(starts)]


SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=40)


@settings(deadline=None)
@given(sizes=SIZES, max_batch_rows=st.integers(1, 16), in_thread=st.booleans())
def test_each_request_gets_its_own_rows_whatever_ran_together(sizes, max_batch_rows, in_thread):
    engine = Doubling()
    requests = numbered(sizes)
    answers = run(gathered(batcher(engine, max_batch_rows, in_thread=in_thread), requests))
    for features, answer in zip(requests, answers, strict=True):
        assert_own(features, answer)
    assert max(engine.runs) <= max_batch_rows
    assert sum(engine.runs) == sum(sizes)
    assert min(engine.runs) > 0


@settings(deadline=None)
@given(
    sizes=SIZES,
    bad=st.sets(st.integers(0, 39)),
    error=st.sampled_from([EngineFailure("no"), ValueError("no"), MemoryError(), KeyError("x")]),
)
def test_a_failing_run_fails_its_own_request_only(sizes, bad, error):
    requests = numbered(sizes)
    failing = {i for i in bad if i < len(requests)}
    for i in failing:
        requests[i][len(requests[i]) // 2] = -1
    answers = run(gathered(batcher(Failing(error)), requests))
    for i, (features, answer) in enumerate(zip(requests, answers, strict=True)):
        if i in failing:
            assert answer is error
        else:
            assert_own(features, answer)


@settings(deadline=None)
@given(sizes=SIZES, given_up=st.sets(st.integers(0, 39)), later=st.booleans())
def test_a_request_that_is_given_up_leaves_and_the_others_are_answered(sizes, given_up, later):
    requests = numbered(sizes)
    engine = Doubling()

    async def scenario():
        subject = batcher(engine)
        tasks = [asyncio.create_task(submit(subject, r, LONG_S)) for r in requests]
        await asyncio.sleep(0)
        if later:
            await asyncio.sleep(0)
        for i in given_up & set(range(len(tasks))):
            tasks[i].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        return answers, subject._queued_rows

    answers, queued = run(scenario())
    assert queued == 0
    for i, (features, answer) in enumerate(zip(requests, answers, strict=True)):
        if not isinstance(answer, asyncio.CancelledError):
            assert_own(features, answer)
        else:
            assert i in given_up


def test_a_request_that_is_given_up_before_its_turn_is_never_run():
    engine = Doubling()

    async def scenario():
        subject = batcher(engine)
        task = asyncio.create_task(submit(subject, rows(1, 2), LONG_S))
        await asyncio.sleep(0)  # it waits now; its turn is the next one
        task.cancel()
        assert_own(rows(3), await submit(subject, rows(3), LONG_S))

    run(scenario())
    assert engine.runs == [1]


def test_an_idle_batcher_runs_a_request_in_the_next_turn_of_the_loop():
    async def scenario():
        task = asyncio.create_task(submit(batcher(Doubling()), rows(1), LONG_S))
        for _ in range(4):
            await asyncio.sleep(0)
        assert task.done()

    run(scenario())


def test_a_request_past_its_deadline_is_not_run():
    engine = Doubling()

    async def scenario():
        subject = batcher(engine)
        late, timely = await asyncio.gather(
            submit(subject, rows(1), 0.0), submit(subject, rows(2), LONG_S), return_exceptions=True
        )
        assert isinstance(late, DeadlineExceeded)
        assert_own(rows(2), timely)

    run(scenario())
    assert engine.runs == [1]


def test_a_large_request_may_pass_its_deadline_between_two_pieces():
    class Slow(Doubling):
        def __call__(self, features):
            time.sleep(0.02)
            return super().__call__(features)

    engine = Slow()

    async def scenario():
        subject = batcher(engine)
        with pytest.raises(DeadlineExceeded):
            await submit(subject, rows(*range(800)), 0.05)
        assert subject._queued_rows == 0
        assert_own(rows(7), await submit(subject, rows(7), LONG_S))

    run(scenario())
    assert len(engine.runs) < 10


def test_a_full_queue_is_told_with_the_seconds_to_wait():
    async def scenario():
        subject = batcher(Doubling(), max_queue_rows=10)
        first = asyncio.create_task(submit(subject, rows(*range(8)), LONG_S))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="at most 10 rows to wait, 8 do") as full:
            await submit(subject, rows(1, 2, 3), LONG_S)
        assert full.value.retry_after_s >= 1
        second = asyncio.create_task(submit(subject, rows(1, 2), LONG_S))
        assert_own(rows(*range(8)), await first)
        assert_own(rows(1, 2), await second)
        assert_own(rows(1, 2, 3), await submit(subject, rows(1, 2, 3), LONG_S))

    run(scenario())


def test_a_request_larger_than_the_queue_is_taken_by_an_idle_service():
    large = rows(*range(50))
    assert_own(large, run(submit(batcher(Doubling(), max_queue_rows=10), large, LONG_S)))


def test_close_answers_what_waits_and_refuses_what_comes():
    async def scenario():
        subject = batcher(Doubling())
        waiting = [asyncio.create_task(submit(subject, rows(i), LONG_S)) for i in range(5)]
        await asyncio.sleep(0)
        subject.close()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(answer, NotServing) for answer in answers)
        assert subject._queued_rows == 0
        with pytest.raises(NotServing, match="stopping"):
            await submit(subject, rows(1), LONG_S)

    run(scenario())


@pytest.mark.parametrize("error", [ValueError("x"), EngineFailure("x"), RecursionError()])
def test_no_exception_ends_the_work(error):
    async def scenario():
        subject = batcher(Failing(error))
        for _ in range(3):
            with pytest.raises(type(error)):
                await submit(subject, rows(-1), LONG_S)
            assert_own(rows(5), await submit(subject, rows(5), LONG_S))

    run(scenario())


def test_rows_that_cannot_be_joined_fail_without_ending_the_work():
    """Two widths never meet in practice; whatever the reason, nobody may wait for ever."""

    async def scenario():
        subject = batcher(Doubling())
        wide = np.ones((2, 3), np.float32)
        first, second = await gathered(subject, [rows(1), wide])
        assert_own(rows(1), first)
        np.testing.assert_array_equal(second[0], wide * 2)

    run(scenario())


def test_an_engine_that_loses_a_row_gives_nobody_the_row_of_another():
    async def scenario():
        answers = await gathered(batcher(Shrinking()), [rows(1), rows(2, 3), rows(4)])
        assert_own(rows(1), answers[0])
        assert isinstance(answers[1], EngineFailure)
        assert_own(rows(4), answers[2])

    run(scenario())


def test_a_large_request_does_not_starve_small_ones():
    engine = Doubling()
    order = []

    async def scenario():
        subject = batcher(engine)

        async def timed(name, features):
            assert_own(features, await submit(subject, features, LONG_S))
            order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(timed("large", rows(*range(400))))
            for i in range(10):
                group.create_task(timed(f"small {i}", rows(i)))

    run(scenario())
    assert order[-1] == "large"
    assert len(engine.runs) == -(-410 // 8)


def test_the_thread_goes_from_one_large_run_to_the_next_without_the_event_loop():
    engine = Doubling()
    subject = batcher(engine, max_batch_rows=16, in_thread=True)

    async def blocked():
        answer = subject.submit(rows(*range(160)), LONG_S)
        for _ in range(MOST_IN_THREAD):
            await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 - the loop is to be blocked
        ran = len(engine.runs)
        return ran, await answer

    ran, answer = run(blocked())
    assert ran == MOST_IN_THREAD
    assert_own(rows(*range(160)), answer)


@pytest.mark.parametrize("place", [0, 40, 159])
def test_a_large_request_whose_piece_fails_gets_one_error_while_others_are_on_their_way(place):
    engine = Failing(EngineFailure("bad"))
    subject = batcher(engine, max_batch_rows=16, in_thread=True)
    bad, good = rows(*range(160)), rows(*range(160))
    bad[place] = -1

    async def both():
        return await gathered(subject, [bad, good])

    failed, answered = run(both())
    assert isinstance(failed, EngineFailure)
    assert_own(good, answered)


def test_a_large_request_that_is_given_up_while_its_pieces_fail_harms_nobody():
    engine = Failing(EngineFailure("bad"))
    subject = batcher(engine, max_batch_rows=16, in_thread=True)
    unheard = []

    async def all_three():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unheard.append(context))
        leaving = subject.submit(np.full((160, 1), -1, np.float32), LONG_S)
        staying = asyncio.ensure_future(gathered(subject, [rows(*range(40)), rows(7)]))
        await asyncio.sleep(0)
        leaving.cancel()
        return await staying

    large, single = run(all_three())
    assert_own(rows(*range(40)), large)
    assert_own(rows(7), single)
    assert unheard == []


def test_small_requests_do_not_starve_a_large_one():
    async def scenario():
        subject = batcher(Doubling())
        large = asyncio.create_task(submit(subject, rows(*range(80)), LONG_S))
        turns = 0
        while not large.done():
            turns += 1
            await asyncio.gather(*(submit(subject, rows(i), LONG_S) for i in range(8)))
        assert turns < 40

    run(scenario())


def test_a_request_alone_in_a_run_gets_the_arrays_of_the_engine_uncopied():
    class Keeping(Doubling):
        def __call__(self, features):
            self.answer = super().__call__(features)
            return self.answer

    engine = Keeping()
    answer = run(submit(batcher(engine), rows(1, 2), LONG_S))
    assert np.shares_memory(answer[0], engine.answer[0])


def test_runs_and_the_queue_are_measured():
    telemetry = Telemetry()
    run(gathered(batcher(Doubling(), telemetry=telemetry), numbered([1, 2, 3])))
    text = telemetry.exposition().decode()
    labels = 'model="model",version="1"'
    assert f"lockstep_batch_rows_sum{{{labels}}} 6.0" in text
    assert f"lockstep_batch_rows_count{{{labels}}} 1.0" in text
    assert f"lockstep_queue_rows{{{labels}}} 0.0" in text


def test_the_cost_of_a_run_is_measured_by_its_first_and_its_further_rows():
    def slow(features):
        time.sleep(1e-3 + 1e-4 * len(features))
        return (features,)

    cost = measure_cost(slow, rows(1), 50)
    assert cost.of(1) >= 1e-3
    assert cost.of(50) >= 5e-3
    assert 1 <= cost.rows_within(3e-3) < 50
    assert cost.rows_within(0.0) == 1


def test_a_request_larger_than_the_queue_leaves_room_for_the_others():
    async def scenario():
        subject = batcher(Doubling(), max_batch_rows=4, max_queue_rows=20)
        large = asyncio.create_task(submit(subject, rows(*range(100)), LONG_S))
        await asyncio.sleep(0)
        small = await asyncio.gather(*(submit(subject, rows(i), LONG_S) for i in range(8)))
        with pytest.raises(QueueFull):
            await asyncio.gather(
                *(submit(subject, rows(*range(9)), LONG_S) for _ in range(3)),
            )
        return small, await large

    small, large = run(scenario())
    for i, answer in enumerate(small):
        assert_own(rows(i), answer)
    assert_own(rows(*range(100)), large)


class Recounting(Batcher):
    """Counts what waits anew whenever anything has changed, and holds the running figures to it."""

    def recount(self):
        most = self._max_queue_rows
        waiting = [len(request.features) - request.begun for request in self._queue]
        assert min(waiting, default=1) > 0
        assert self._queued_rows == sum(waiting)
        counted = sum(n if n <= most else most // 2 for n in waiting)
        assert self._queued_rows - self._uncounted_rows == counted
        return counted

    def enqueue(self, features, timeout_s, waiter):
        """Take or refuse by the rule that asks every request that waits."""
        most, n = self._max_queue_rows, len(features)
        if self._queue and self.recount() + (n if n <= most else most // 2) > most:
            sentence = f"at most {most} rows to wait, {self._queued_rows} do; try again in"
            with pytest.raises(QueueFull, match=sentence) as refusal:
                super().enqueue(features, timeout_s, waiter)
            self.recount()
            raise refusal.value
        super().enqueue(features, timeout_s, waiter)
        self.recount()

    def _gather(self):
        pieces = super()._gather()
        self.recount()
        return pieces

    def _give(self, outcomes):
        super()._give(outcomes)
        self.recount()


HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 45), st.booleans(), st.booleans()),
        st.tuples(st.just("leave"), st.integers(0, 20)),
        st.tuples(st.just("turn")),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(history=HISTORY, max_queue_rows=st.integers(1, 30), in_thread=st.booleans())
def test_what_waits_is_known_at_all_times_without_asking_every_item(
    history, max_queue_rows, in_thread
):
    """Whatever comes, runs in pieces, leaves, fails or is late: a full queue is known as one."""

    async def lived():
        subject = Recounting(
            Failing(EngineFailure("bad")),
            RunMetrics(Telemetry(), "model", 1),
            max_batch_rows=8,
            max_queue_rows=max_queue_rows,
            cost=RunCost(IN_THREAD_S if in_thread else 0.0, 0.0),
        )
        waiting = []
        for event, *figures in history:
            if event == "turn":
                await asyncio.sleep(0)
            elif event == "leave" and waiting:
                waiting[figures[0] % len(waiting)].cancel()
            elif event == "ask":
                n, fails, is_late = figures
                values = rows(*range(n))
                values[n // 2] = -1 if fails else 0
                with contextlib.suppress(QueueFull):
                    waiting.append(subject.submit(values, 0.0 if is_late else LONG_S))
            subject.recount()
        await asyncio.gather(*waiting, return_exceptions=True)
        # Nobody is told when the last one has left.
        while subject._in_thread or subject._queue:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert (subject._queued_rows, subject._uncounted_rows) == (0, 0)
        subject.close()

    run(lived())


class Unread(deque):
    """A queue of which nobody may look at every request."""

    def __iter__(self):
        raise AssertionError("a refusal that costs more the more requests wait")


def test_a_refusal_costs_no_more_the_more_requests_wait():
    async def scenario():
        subject = batcher(Doubling(), max_queue_rows=100)
        subject._queue = Unread()
        waiting = [subject.submit(rows(1), LONG_S) for _ in range(100)]
        with pytest.raises(QueueFull, match="at most 100 rows to wait, 100 do"):
            subject.submit(rows(1), LONG_S)
        await asyncio.gather(*waiting)

    run(scenario())
