"""What every ViewStore promises of its documents, on every implementation."""

from __future__ import annotations

from tallymark.store import ViewStore


def test_a_document_is_read_as_it_was_written(store: ViewStore, video: str) -> None:
    assert store.read_document(video) is None
    for body in (b"{}", b"", bytes(range(256)), b"x" * 1_000_000):
        store.write_document(video, body)
        assert store.read_document(video) == body


def test_a_document_is_swapped_only_from_what_is_expected(store: ViewStore, video: str) -> None:
    assert not store.swap_document(video, b"1", b"2"), "there is nothing yet"
    assert store.read_document(video) is None
    assert store.swap_document(video, None, b"1")
    assert not store.swap_document(video, None, b"2"), "it exists by now"
    assert not store.swap_document(video, b"0", b"2")
    assert store.read_document(video) == b"1"
    assert store.swap_document(video, b"1", b"")
    assert store.swap_document(video, b"", b"3")
    assert store.read_document(video) == b"3"


def test_documents_are_listed_by_prefix_and_after_a_name(store: ViewStore, video: str) -> None:
    tails = ["", "/000", "/001", "/01", "/%_*?[x]", "/'\"\\", "/ü", "/\U0001f3ac", "/a/b", "0"]
    names = sorted(video + tail for tail in tails)
    for name in reversed(names):
        store.write_document(name, name.encode())
    store.write_document(video[:-1], b"shorter")
    assert store.list_documents(video) == [(name, name.encode()) for name in names]
    below = [name for name in names if name.startswith(video + "/")]
    assert [name for name, _ in store.list_documents(video + "/")] == below
    assert [name for name, _ in store.list_documents(video + "/0")] == [video + tail for tail in tails[1:4]]
    assert [name for name, _ in store.list_documents(video + "/", after=below[2])] == below[3:]
    assert store.list_documents(video, after=names[-1]) == []
    assert [name for name, _ in store.list_documents(video, after="")] == names


def test_several_documents_are_read_at_once_in_the_order_of_their_names(store: ViewStore, video: str) -> None:
    store.write_document(f"{video}/b", b"2")
    store.write_document(f"{video}/a", b"")
    names = [f"{video}/b", f"{video}/missing", f"{video}/a", f"{video}/b"]
    assert store.read_documents(names) == [b"2", None, b"", b"2"]
    assert store.read_documents([]) == []


def test_an_empty_document_is_not_a_missing_one(store: ViewStore, video: str) -> None:
    assert not store.swap_document(video, b"", b"1")
    assert store.swap_document(video, None, b"")
    assert not store.swap_document(video, None, b"1")
    assert store.read_document(video) == b""
