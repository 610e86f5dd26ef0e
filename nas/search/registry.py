"""Searchers by name, imported when asked for: a list of names must not load Optuna or NNI."""

from __future__ import annotations

import re
from importlib import import_module
from typing import cast

from nas.errors import UnknownSearcherError
from nas.search.searcher import SearcherFactory

SEARCHERS = {
    "guided": "nas.search.guided.searcher:GuidedSearcher",
    "random": "nas.search.random:RandomSearcher",
    "stratified": "nas.search.baselines.stratified:StratifiedSearcher",
    "local": "nas.search.baselines.local_search:LocalSearcher",
    "nsga2": "nas.search.nsga2:NSGA2Searcher",
    "nsga3": "nas.search.optuna_search:nsga3",
    "ageing": "nas.search.baselines.ageing:AgeingSearcher",
    "linas": "nas.search.baselines.linas:LinasSearcher",
    "tpe": "nas.search.optuna_search:tpe",
    "gp": "nas.search.optuna_search:gp",
    "nni-tpe": "nas.search.nni_search:tpe",
    "nni-evolution": "nas.search.nni_search:evolution",
}
_IMPORT_PATH = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<attribute>[A-Za-z_]\w*)")


def get_searcher(name: str, *, allow_import: bool = False) -> SearcherFactory:
    """The factory called ``name`` or, with ``allow_import``, at ``package.module:factory``.

    Importing runs code, so ``allow_import`` is for library calls, never for names that came from
    outside. Raises UnknownSearcherError, which lists what there is; the factories of an optional
    package raise MissingExtraError when called without it.
    """
    if name in SEARCHERS:
        return _load(SEARCHERS[name])
    if allow_import and _IMPORT_PATH.fullmatch(name):
        return _load(name)
    raise UnknownSearcherError(f"no searcher {name!r}; there are {', '.join(SEARCHERS)}")


def _load(path: str) -> SearcherFactory:
    module, _, attribute = path.partition(":")
    try:
        return cast(SearcherFactory, getattr(import_module(module), attribute))
    except (ImportError, AttributeError) as error:
        raise UnknownSearcherError(f"searcher {path!r} cannot be imported: {error}") from error
