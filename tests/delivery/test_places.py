import pytest

from app.delivery.places import StreamPlaces, TooManyStreams


def test_places_of_a_task_and_of_a_subject_are_counted_apart() -> None:
    places = StreamPlaces(per_subject=3, per_task=2)
    first = places.take("alice", "one")
    places.take("alice", "one")
    with pytest.raises(TooManyStreams, match="2 streams of this task"):
        places.take("alice", "one")
    places.take("alice", "two")
    with pytest.raises(TooManyStreams, match="3 streams of yours"):
        places.take("alice", "three")
    places.take("bob", "one")
    assert places.taken == 4
    first.release()
    places.take("alice", "three")
    assert places.taken == 4


def test_a_place_is_given_back_once() -> None:
    places = StreamPlaces(per_subject=2, per_task=2)
    place = places.take("alice", "one")
    places.take("alice", "one")
    place.release()
    place.release()
    assert places.taken == 1


def test_who_has_no_stream_leaves_no_trace() -> None:
    places = StreamPlaces()
    for number in range(100):
        places.take("alice", str(number)).release()
    assert places.taken == 0
    assert places._taken == {}
