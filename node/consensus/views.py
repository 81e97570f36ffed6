"""The certificates of one epoch: which views ended how, and what may therefore extend what."""

from collections.abc import Iterator

from primitives.certificate import Certificate
from primitives.types import BlockHash, View
from primitives.vote import VoteKind


class Views:
    """Certificates above the last finalized view. View 0 is the epoch's anchor, final from the start."""

    def __init__(self, anchor: BlockHash) -> None:
        self._anchor = anchor
        self._certificates: dict[View, dict[VoteKind, Certificate]] = {}
        self.final: Certificate | None = None
        """The highest finalization known."""

    @property
    def final_view(self) -> View:
        """View of the highest finalization."""
        return self.final.view if self.final else View(0)

    @property
    def final_block(self) -> BlockHash:
        """Block of the highest finalization."""
        return BlockHash(self.final.block) if self.final else self._anchor

    @property
    def newest(self) -> View:
        """The highest view that a certificate is held for."""
        return max(self._certificates, default=self.final_view)

    def wants(self, kind: VoteKind, view: View) -> bool:
        """Whether a certificate of this kind and view would be news."""
        return view > self.final_view and kind not in self._certificates.get(view, {})

    def add(self, certificate: Certificate) -> None:
        """Hold a verified certificate that was wanted."""
        if certificate.kind == VoteKind.FINALIZE:
            self.final = certificate
            for view in [view for view in self._certificates if view <= certificate.view]:
                del self._certificates[view]
        else:
            self._certificates.setdefault(certificate.view, {})[certificate.kind] = certificate

    def at(self, view: View) -> list[Certificate]:
        """The certificates held for a view."""
        if self.final and view == self.final.view:
            return [self.final]
        return list(self._certificates.get(view, {}).values())

    def highest(self) -> list[Certificate]:
        """The last finalization, and what is held for the newest view."""
        newest = self.at(self.newest)
        return [self.final, *newest] if self.final else newest

    def notarized(self, view: View) -> BlockHash | None:
        """The block that a quorum found valid in `view`; a finalized one is notarized."""
        if view == self.final_view:
            return self.final_block
        held = self._certificates.get(view, {}).get(VoteKind.NOTARIZE)
        return BlockHash(held.block) if held else None

    def certifying(self, block: BlockHash) -> list[Certificate]:
        """The certificates held for `block`."""
        held = [cert for view in self._certificates.values() for cert in view.values()]
        return [cert for cert in (*held, self.final) if cert and cert.block == block]

    def gap(self, view: View) -> View:
        """The highest view below `view` that no nullification is held of."""
        below = View(view - 1)
        while below > self.final_view and VoteKind.NULLIFY in self._certificates.get(below, {}):
            below = View(below - 1)
        return below

    def extendable(self, view: View) -> Iterator[tuple[View, BlockHash]]:
        """Notarized views from which everything up to `view` is nullified, the highest first."""
        bottom = max(self.gap(view), self.final_view)
        for below in range(view - 1, bottom - 1, -1):
            block = self.notarized(View(below))
            if block is not None:
                yield View(below), block

    def parent(self, view: View) -> tuple[View, BlockHash] | None:
        """What a proposal in `view` extends."""
        return next(self.extendable(view), None)

    def is_justified(self, view: View, block: BlockHash) -> bool:
        """Whether a proposal in `view` may extend `block`."""
        return any(notarized == block for _, notarized in self.extendable(view))

    def proof(self, view: View) -> list[Certificate]:
        """What convinces others of `parent(view)`, the most telling first."""
        parent = self.parent(view)
        bottom = parent[0] if parent else self.final_view
        held = [cert for below in range(view - 1, bottom - 1, -1) for cert in self.at(View(below))]
        return [self.final, *held] if self.final else held

    def answer(self, view: View, start: View) -> Iterator[Certificate]:
        """What serves a peer that lacks certificates from `start` downwards, first what brings it to
        `view`."""
        if self.final:
            yield self.final
        parent = self.parent(view)
        if parent:
            yield from (cert for cert in self.at(parent[0]) if cert.kind != VoteKind.NULLIFY)
        yield from self.at(View(view - 1))
        for below in range(min(start, self.newest), self.final_view, -1):
            yield from self.at(View(below))
