"""Functions and layers in the journal: loaded at the start, written down with every change."""

from collections.abc import Mapping
from functools import partial

from serverless_mlperf.errors import InputError
from serverless_mlperf.packages.archive import digest
from serverless_mlperf.platforms.local.gateway.lambda_state import Document, Kind, LambdaState
from serverless_mlperf.platforms.local.journal.base import Entry, Journal


class LambdaRecords:
    """Tells the journal what LambdaState's changes come to."""

    def __init__(self, state: LambdaState, journal: Journal) -> None:
        self._state = state
        self._journal = journal
        self._told: dict[tuple[Kind, str], Document] = {}
        """The last document of each, to go back to."""
        state.listeners.append(self._changed)

    def load(self, kept: Mapping[str, list[Entry]]) -> None:
        """Take what an earlier process kept, and remove zips that nothing needs.

        Blocking; raises InputError for a zip that is damaged or gone.
        """
        kinds: tuple[Kind, ...] = ("layer", "function")
        for kind in kinds:
            for entry in kept.get(kind, ()):
                self._state.restore(kind, entry.document)
                self._told[kind, entry.name[1]] = entry.document
        used = self._state.zips_in_use()
        for sha256 in used:
            path = self._state.zips.path(sha256)
            if not path.exists() or digest(path) != sha256:
                text = "is missing" if not path.exists() else "damaged"
                raise InputError(f"{path}: {text}; restore the data folder from a copy, or give another --data")
        self._state.zips.keep_only(used)

    def _changed(self, kind: Kind, name: str) -> None:
        former, document = self._told.get((kind, name)), self._state.document(kind, name)
        undo = partial(self._go_back, kind, name, former)
        if document is None:
            self._told.pop((kind, name), None)
            self._journal.remove((kind, name), undo)
        else:
            self._told[kind, name] = document
            self._journal.save((kind, name), lambda: document, undo)

    def _go_back(self, kind: Kind, name: str, former: Document | None) -> None:
        if former is not None:
            self._told[kind, name] = former
            self._state.restore(kind, former)
            return
        self._told.pop((kind, name), None)
        if kind == "function":
            self._state.functions.pop(name, None)
        else:
            self._state.layers.pop(name, None)
