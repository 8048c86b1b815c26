import pytest

from app.resources.pool import AlreadyAllocated, NotAllocated, NotEnough, Pool


def test_what_is_allocated_is_not_free() -> None:
    pool = Pool({"cpu": 4000, "memory_mb": 1000_000})
    pool.allocate("a", {"cpu": 1500})
    assert pool.free == {"cpu": 2500, "memory_mb": 1000_000}
    assert pool.allocated == {"cpu": 1500}
    assert "a" in pool
    pool.release("a")
    assert pool.allocated == {}
    assert pool.free == pool.capacity
    assert len(pool) == 0


def test_all_or_nothing() -> None:
    pool = Pool({"cpu": 4000, "memory_mb": 1000})
    with pytest.raises(NotEnough) as raised:
        pool.allocate("a", {"cpu": 1000, "memory_mb": 1001})
    assert raised.value.missing == {"memory_mb": 1}
    assert pool.free == pool.capacity
    assert "a" not in pool


def test_a_unit_that_the_node_does_not_have_never_fits() -> None:
    pool = Pool({"cpu": 1000})
    assert not pool.fits({"custom.licence": 1})
    with pytest.raises(NotEnough):
        pool.allocate("a", {"custom.licence": 1})


def test_nothing_asked_for_always_fits() -> None:
    pool = Pool({})
    pool.allocate("a", {})
    pool.allocate("b", {"gpu": 0})
    assert pool.release("a").amounts == {}
    pool.release("b")


def test_a_second_allocation_is_refused() -> None:
    pool = Pool({"cpu": 4000})
    pool.allocate("a", {"cpu": 1000})
    with pytest.raises(AlreadyAllocated):
        pool.allocate("a", {"cpu": 1000})
    assert pool.allocated == {"cpu": 1000}


def test_a_second_release_is_refused() -> None:
    pool = Pool({"cpu": 4000})
    pool.allocate("a", {"cpu": 1000})
    pool.release("a")
    with pytest.raises(NotAllocated, match="task a holds no"):
        pool.release("a")
    assert pool.free == {"cpu": 4000}


def test_gpus_are_given_out_by_device_the_lowest_first() -> None:
    pool = Pool({"gpu": 4000})
    assert pool.allocate("a", {"gpu": 2000}).gpu_devices == (0, 1)
    assert pool.allocate("b", {"gpu": 1000}).gpu_devices == (2,)
    pool.release("a")
    assert pool.allocate("c", {"gpu": 3000}).gpu_devices == (0, 1, 3)
    with pytest.raises(NotEnough):
        pool.allocate("d", {"gpu": 1000})


def test_fractions_add_up_exactly() -> None:
    pool = Pool({"cpu": 1000})
    for number in range(10):
        pool.allocate(str(number), {"cpu": 100})
    assert pool.free == {"cpu": 0}
    for number in range(10):
        pool.release(str(number))
    assert pool.allocated == {}
