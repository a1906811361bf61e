"""Ids of many pieces, in their order, with the library's threads kept busy."""
import array
import collections
import concurrent.futures

PIECE = 1 << 16  # characters; a piece is cut at the first place behind as many
BATCH = 1 << 20  # characters in a call of the library, whose threads share its pieces
PIECES = 1024  # in a call, at most
AHEAD = 3  # calls that are waited for: the library works on one while another's ids are taken over
WAKE_S = 0.25


def batches(pieces):
    batch, size = [], 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece.text) * (1 if piece.spans is None else 4)  # its places take memory too
        if size >= BATCH or len(batch) >= PIECES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def mask_of(offsets, spans):
    """1 for each token that has a character of a span; both ascend."""
    mask, at = [], 0
    for begin, end in offsets:
        while at < len(spans) and spans[at][1] <= begin:
            at += 1
        mask.append(int(at < len(spans) and spans[at][0] < end))
    return mask


def encode(tokenizer, pieces, width, wake=lambda: None):
    """(piece, its ids as an array of `width`) for each of `pieces`. `wake` is called while it waits."""

    def ids_of(batch):
        places = any(piece.spans is not None for piece in batch)
        call = tokenizer.encode_batch if places else tokenizer.encode_batch_fast
        encodings = call([piece.text for piece in batch], add_special_tokens=False)
        for piece, encoding in zip(batch, encodings):
            piece.text = ""
            if piece.spans is not None:
                piece.mask = mask_of(encoding.offsets, piece.spans)
        encodings.reverse()
        return [array.array(width, encodings.pop().ids) for _ in batch]

    threads = concurrent.futures.ThreadPoolExecutor(AHEAD - 1)
    calls = collections.deque()

    def finished():
        batch, call = calls.popleft()
        while not concurrent.futures.wait([call], WAKE_S).done:
            wake()
        return zip(batch, call.result())

    try:
        for batch in batches(pieces):
            calls.append((batch, threads.submit(ids_of, batch)))
            if len(calls) == AHEAD:
                yield from finished()
        while calls:
            yield from finished()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
