"""Radicals that a PDF's fonts give for the characters that look like them: ⼈ for 人, ⺠ for 民."""

from __future__ import annotations

import re
import unicodedata

_RADICAL = re.compile("[\u2e80-\u2fdf\uf900-\ufaff]")
# Unicode's own equivalents (EquivalentUnifiedIdeograph), of those that its normal forms leave as they are.
_STANDS_FOR = dict(
    zip(
        "⺁⺓⺝⺟⺠⺬⺮⺶⻁⻄⻅⻆⻉⻋⻑⻓⻔⻘⻙⻚⻛⻜⻝⻢⻣⻤⻥⻦⻧⻨⻩⻬⻮⻰⻳",
        "厂幺月母民示竹羊虎西见角贝车長长门青韦页风飞食马骨鬼鱼鸟卤麦黄齐齿龙龟",
        strict=True,
    )
)


def written(text: str) -> str:
    """`text` with the characters that its radicals and compatibility forms stand for, each in its place."""
    return _RADICAL.sub(
        lambda found: _STANDS_FOR.get(found[0]) or unicodedata.normalize("NFKC", found[0]), text
    )
