"""The framing, and what the service takes from a child."""

import pytest
from pydantic import ValidationError

from app.execution.backends.frames import (
    Ended,
    FrameError,
    FrameReader,
    Progress,
    Resting,
    encode,
    encode_progress,
    encode_raw,
    from_child,
)
from app.protocol.reasons import Reason

RESTING = Resting(rss_mb=1, private_mb=1, cpu_s=0)


def test_frames_survive_any_cut_of_the_stream() -> None:
    stream = encode_raw(b"{}") + encode_raw(b'{"a":1}', b'["body\n"]') + encode_raw(b"", b"")
    expected = [(b"{}", b""), (b'{"a":1}', b'["body\n"]'), (b"", b"")]
    for size in range(1, len(stream) + 1):
        reader = FrameReader(100)
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [frame for piece in pieces for frame in reader.feed(piece)] == expected


def test_a_frame_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameError, match="a frame of 101 bytes; at most 100 are taken"):
        list(FrameReader(100).feed((101).to_bytes(4, "big")))


def test_progress_is_written_without_its_model_and_read_with_it() -> None:
    [(header, body)] = FrameReader(1000).feed(encode_progress(0.25, b'{"stage":"x\\n"}'))
    assert from_child.validate_json(header) == Progress(fraction=0.25, details={"stage": "x\n"})
    assert body == b""


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b'{"type":"hello","modules":[],"environment":{},"max_result_bytes":1}',
        b'{"type":"progress","fraction":1.5,"details":{}}',
        b'{"type":"progress","fraction":NaN,"details":{}}',
        b'{"type":"progress","fraction":0.5,"details":[]}',
        b'{"type":"progress","fraction":0.5,"details":{},"more":1}',
        b'{"type":"ready","resting":{"rss_mb":-1,"private_mb":0,"cpu_s":0}}',
    ],
)
def test_a_child_can_say_nothing_else(header: bytes) -> None:
    with pytest.raises(ValidationError):
        from_child.validate_json(header)


def test_a_child_cannot_choose_any_reason() -> None:
    ended = Ended(cpu_s=1, peak_memory_mb=1, clean=True, resting=RESTING, error={"kind": "x"})
    [(header, _)] = FrameReader(1000).feed(encode(ended))
    assert from_child.validate_json(header) == ended
    with pytest.raises(ValidationError):
        from_child.validate_json(header.replace(b"execution_error", Reason.CANCELLED.encode()))
