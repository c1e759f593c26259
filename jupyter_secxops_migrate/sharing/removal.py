"""What a share leaves in the engine goes: objects, images that nobody else has, and what builds made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from .. import errors
from ..engines.orders import BuildTrace
from ..operations.errors import StoreFull
from .document import SHARES, Image, ShareDocument, ShareDraft, Trace, goes_with, shares_image
from .kit import Kit


class Removing:
    """What removes, and what notes what is to be removed."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._traces: dict[str, dict[int, Trace]] = {}
        """What builds said of what they make, where the record could not take it yet."""

    async def remove(self, share: str) -> None:
        """Remove all that it has in the engine, and the images that nothing else needs."""
        await self._kit.engine.delete(share)
        # Only now: whoever has them after us must not find them in use by us.
        await self.remove_images(share)

    async def remove_images(self, share: str, *, but_last: bool = False) -> None:
        """Remove its images and what its builds left; ``but_last``: of builds that were done again."""
        kit = self._kit
        await kit.records.change(lambda: self._keep_traces(share))
        images = await self._own_images(share, but_last)
        before = await kit.records.document(share)
        first, traced = before.began, bool(before.builds)
        for image in images:
            await kit.engine.remove_image(
                image.reference, pushed=image.in_registry, layers=not traced
            )

        def removed(draft: ShareDraft) -> bool:
            document = draft.document
            document.images = [i for i in document.images if i not in images]
            if but_last:
                last = document.builds[-1:]
                document.builds = [trace.model_copy(update={"began": first}) for trace in last]
                return True
            document.builds = [trace for trace in document.builds if trace not in own]
            document.inherited = [trace for trace in document.inherited if trace not in own]
            return not document.traces  # else another share left it something meanwhile

        while True:
            builds = await kit.records.change(lambda: self._own_builds(share, but_last))
            for trace, spare in builds:
                await kit.engine.clear_build(trace.again(first), spare)
            own = [trace for trace, _ in builds]
            if await kit.records.edit(share, removed):
                return

    async def _own_images(self, share: str, but_last: bool) -> Sequence[Image]:
        """Return the images that go with a share, and leave those that others have to them.

        Of two that are deleted at once, only the second one finds that nobody else has the image.
        """
        records = self._kit.records

        def change() -> Sequence[Image]:
            with records.store.edit(share) as draft:
                document: ShareDocument = draft.document
                images, kept, last = document.images, [], document.image
                if last is not None and but_last:
                    kept = [i for i in images if goes_with(last, i)]
                elif last is not None:
                    images, document.image = [*images, last], None
                others = records.store.documents(SHARES.kind, but=share)
                own = [i for i in images if i not in kept and not shares_image(others, i)]
                document.images = [*kept, *own]
            return own

        return await records.change(change)

    def _own_builds(self, share: str, but_last: bool) -> Sequence[tuple[Trace, Collection[str]]]:
        """Return the traces of its builds, newest first, each with the ids of what others have of it.

        What it made of that is theirs from now on: they inherit it. Blocking, and the only change while it
        lasts: of two that are deleted at once, one leaves it to the other.
        """
        store = self._kit.records.store
        document: ShareDocument = store.read(share).document
        own = document.builds[:-1] if but_last else document.traces
        if not own:
            return []
        others = {other: d.traces for other, d in store.documents(SHARES.kind, but=share).items()}
        if but_last:
            others[share] = [*document.inherited, *document.builds[-1:]]
        spare: set[str] = set()
        given: set[str] = set()
        for other, theirs in others.items():
            made = {layer for trace in theirs for layer in trace.layers}
            used = {layer for trace in theirs for layer in trace.used}
            given |= self._bequeath(other, own, used - made)
            spare |= made | used
        if given:
            self._kit.records.edit_now(share, _without(given, but_last))
            own = [trace.without(given) for trace in own]
        return [(trace, spare) for trace in reversed(own)]

    def _bequeath(self, heir: str, traces: Sequence[Trace], layers: set[str]) -> set[str]:
        """Have another share remove these layers, in the order in which they were made (blocking).

        Returns those that it will remove.
        """
        rows = [
            Trace(layers=[i for i in trace.layers if i in layers], began=trace.began)
            for trace in traces
            if not layers.isdisjoint(trace.layers)
        ]

        def change(draft: ShareDraft) -> None:
            draft.document.inherited = [*draft.document.inherited, *rows]

        if not rows:
            return set()
        try:
            self._kit.records.edit_now(heir, change)
        except errors.NotFound:
            return set()
        return {layer for row in rows for layer in row.layers}

    # ------------------------------------------------------------------ what builds tell

    async def tracing(self, share: str) -> Callable[[BuildTrace], None]:
        """Return what keeps the trace of one more build in the record (blocking; not on an event loop)."""
        number = len((await self._kit.records.document(share)).builds)

        def keep(trace: BuildTrace) -> None:
            self._traces.setdefault(share, {})[number] = Trace.of(trace)
            self._keep_traces(share)

        return keep

    def _keep_traces(self, share: str) -> None:
        """Keep traces in the record, also those that a full one could not take before (blocking)."""
        if not (traces := self._traces.pop(share, None)):
            return

        def change(draft: ShareDraft) -> None:
            builds = list(draft.document.builds)
            for number, trace in traces.items():
                builds[number : number + 1] = [trace]
            draft.document.builds = builds
            if draft.record.state.final:
                draft.document.left = True  # said after the clean-up

        try:
            self._kit.records.edit_now(share, change)
        except StoreFull:
            self._traces[share] = traces | self._traces.get(share, {})
            raise


def _without(given: set[str], but_last: bool) -> Callable[[ShareDraft], None]:
    """Return what takes layers that others remove from a share's own traces."""

    def change(draft: ShareDraft) -> None:
        document = draft.document
        last = document.builds[-1:] if but_last else []
        earlier = document.builds[:-1] if but_last else document.builds
        document.builds = [*(trace.without(given) for trace in earlier), *last]
        if not but_last:  # else it has inherited them itself
            document.inherited = [trace.without(given) for trace in document.inherited]

    return change
