"""Reads JSON while it arrives: parts of an answer become values as soon as they close. Pure.

    text -> ElementFinder (text around the JSON) -> ElementReader (a path) -> Scanner (the grammar)

The text may be cut anywhere. Each character is read once, so the cost of a piece does not depend on
what came before it.
"""
