"""Styles that Textual computes once for all apps of a test run, instead of once for each app.

Many apps have the same style sheets, and their widgets the same places in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import pytest
from textual.app import App
from textual.css.model import RuleSet
from textual.css.styles import RulesMap
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode

#: What a node's styles follow from: of each node from the app down to it, all that rules look at.
_Path: TypeAlias = tuple[tuple[object, ...], ...]
#: Pseudo classes that every widget has from its app, and some that are the opposite of another.
_OF_THE_APP = {"dark", "light", "inline", "ansi", "nocolor"}
_OPPOSITE = {"blur": "focus", "enabled": "disabled"}
#: What Textual notes at a node about the rules that may apply to it.
_NOTES = ("_has_hover_style", "_has_focus_within", "_has_order_style", "_has_odd_or_even")


@dataclass
class _Found:
    """What the rules give a node: as they say it, what Textual notes, and as it is kept."""

    rules: RulesMap
    notes: dict[str, bool]
    kept: RulesMap | None = None


class _Known:
    """The styles that the rules of one style sheet give."""

    def __init__(self, rules: list[RuleSet]) -> None:
        self._rules = rules  # as long as that is there, no other list has its id
        #: The rules by the names in their selectors, once Textual has made that.
        self.rules_map: dict[str, list[RuleSet]] | None = None
        looked_at = set[str]().union(*(rule.pseudo_classes for rule in rules))
        # Those that depend on the neighbours are not kept: Textual leaves them out of its cache.
        looked_at -= Stylesheet._EXCLUDE_PSEUDO_CLASSES_FROM_CACHE
        self._of_app = sorted(looked_at & App._PSEUDO_CLASSES.keys())
        of_widget = {_OPPOSITE.get(name, name) for name in looked_at - _OF_THE_APP}
        self._of_widget = sorted(of_widget)
        self.styles: dict[_Path, _Found] = {}
        #: What was last looked at of nodes, while many are given their styles at once.
        self.looked_at: dict[DOMNode, tuple[object, ...]] | None = None
        #: The widget whose parts are given their styles at the moment, and its path.
        self.whole: tuple[DOMNode, _Path] | None = None

    def path(self, node: DOMNode) -> _Path:
        if self.whole is not None and node._parent is self.whole[0]:
            return (*self.whole[1], self._look_at(node))
        app, *nodes = node.css_path_nodes
        path = [(type(app), *_state(app, self._of_app))]
        if self.looked_at is None:
            return (*path, *map(self._look_at, nodes))
        for each in nodes:
            if each not in self.looked_at:
                self.looked_at[each] = self._look_at(each)
            path.append(self.looked_at[each])
        return tuple(path)

    def _look_at(self, node: DOMNode) -> tuple[object, ...]:
        return (type(node), node._id, node.classes, *_state(node, self._of_widget))


def _state(node: DOMNode, names: list[str]) -> list[bool]:
    checks: dict[str, Any] = node._PSEUDO_CLASSES
    return [name in checks and checks[name](node) for name in names]


@contextmanager
def styles_computed_once() -> Iterator[None]:
    """Parse each style sheet once, find what applies to a widget in the same place once, and leave
    alone what a widget has already.
    """
    parsed: dict[tuple[object, ...], list[RuleSet]] = {}
    of_sources: dict[tuple[object, ...], list[RuleSet]] = {}
    known: dict[int, _Known] = {}
    given: WeakKeyDictionary[DOMNode, RulesMap] = WeakKeyDictionary()
    #: By which rules, and at which path, nodes and their parts were given their styles.
    whole: WeakKeyDictionary[DOMNode, tuple[_Known, _Path]] = WeakKeyDictionary()
    parse, parse_rules = Stylesheet.parse, Stylesheet._parse_rules
    apply, update_nodes = Stylesheet.apply, Stylesheet.update_nodes

    def parse_once(self: Stylesheet) -> None:
        key = (*self._variables.items(), *self.source.items())
        if key not in of_sources or self._invalid_css:
            parse(self)
            of_sources[key] = self._rules
        self._rules = of_sources[key]
        self._rules_map = of_sheet(self).rules_map
        self._require_parse = False

    def parse_rules_once(self: Stylesheet, css: str, *where: Any, **how: Any) -> list[RuleSet]:
        key = (*self._variables.items(), css, *where, *how.items())
        if key not in parsed:
            parsed[key] = parse_rules(self, css, *where, **how)
        return parsed[key]

    def of_sheet(sheet: Stylesheet) -> _Known:
        rules = sheet._rules
        if id(rules) not in known:
            known[id(rules)] = _Known(rules)
        return known[id(rules)]

    def apply_known(
        self: Stylesheet, node: DOMNode, *, animate: bool = False, cache: object = None
    ) -> None:
        if self._require_parse:
            self.parse()
        found = of_sheet(self)
        path = found.path(node)
        if path in found.styles:
            its = found.styles[path]
            for name, is_so in its.notes.items():
                setattr(node, name, is_so)
            if given.get(node) == its.rules:
                node.notify_style_update()  # what is around it may look different
                if whole.get(node) == (found, path):
                    return  # its parts have what they had, too
            else:
                given[node] = its.rules
                replace_rules(self, node, its, animate=animate)
            whole[node] = found, path
            if node._get_component_classes():
                found.whole = node, path
                self._process_component_classes(node)
                found.whole = None
            return
        given.pop(node, None)
        whole.pop(node, None)
        computed: dict[tuple[Any, ...], RulesMap] = {}
        apply(self, node, animate=animate, cache=computed)
        found.rules_map = self._rules_map
        for rules in computed.values():  # one, or none if it can't be kept
            found.styles[path] = _Found(rules, {name: getattr(node, name) for name in _NOTES})
            given[node] = rules

    def replace_rules(sheet: Stylesheet, node: DOMNode, found: _Found, *, animate: bool) -> None:
        """Do as Textual, but give a node that is not mounted all of its rules at once.

        Textual sets one after the other, for each might change what is shown.
        """
        base = node.styles.base
        if node._is_mounted or animate:
            sheet.replace_rules(node, found.rules, animate=animate)
        elif found.kept is None:
            sheet.replace_rules(node, found.rules)
            found.kept = base.get_rules()
        else:
            base.reset()
            base.merge_rules(found.kept)
            node.notify_style_update()

    def process_component_classes(self: Stylesheet, node: DOMNode) -> None:
        """Do as Textual, but keep the virtual nodes of the parts of a widget."""
        before = node._component_styles.copy()
        node._component_styles.clear()
        is_new = False
        for component in sorted(node._get_component_classes()):
            part = before[component].node if component in before else None
            had = None
            if part is None:
                part = DOMNode(classes=component)
                part._attach(node)
            else:
                had = dict(part.styles.base.get_rules())
            self.apply(part, animate=False)
            is_new |= had != part.styles.base.get_rules()
            node._component_styles[component] = part.styles
        if is_new:
            node.refresh()

    def update_known(self: Stylesheet, nodes: Iterable[DOMNode], animate: bool = False) -> None:
        found = of_sheet(self)
        found.looked_at = {}
        try:
            update_nodes(self, nodes, animate)
        finally:
            found.looked_at = None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "parse", parse_once)
        patch.setattr(Stylesheet, "_parse_rules", parse_rules_once)
        patch.setattr(Stylesheet, "apply", apply_known)
        patch.setattr(Stylesheet, "_process_component_classes", process_component_classes)
        patch.setattr(Stylesheet, "update_nodes", update_known)
        yield
