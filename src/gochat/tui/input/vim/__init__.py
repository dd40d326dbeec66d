"""Vim's keys in the field of the composer: a small modal editor. Pure.

Written here because no library fits: Textual's text area has no modes, and prompt_toolkit, which
has, moves by code point, takes only ASCII letters for words, and needs an application of its own.
"""
