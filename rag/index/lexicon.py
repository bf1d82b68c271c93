"""The words that people use for what statutes call otherwise: 加班费 is nowhere in the article that grants it.

A question is also searched in the statutes' own words, as a ranking of its own beside the others, so that a store
which does use the people's words loses nothing by it.
"""

from __future__ import annotations

_STATUTORY = {
    "加班费": "延长工作时间 工资报酬",
    "加班工资": "延长工作时间 工资报酬",
    "加班": "延长工作时间",
    "双休日": "休息日",
    "周末": "休息日",
    "节假日": "法定休假日",
    "欠薪": "拖欠 劳动报酬",
    "扣工资": "克扣 工资",
    "辞退": "解除劳动合同",
    "开除": "解除劳动合同",
    "解雇": "解除劳动合同",
    "炒鱿鱼": "解除劳动合同",
    "裁员": "裁减人员",
    "辞职": "解除劳动合同",
    "离职": "解除劳动合同",
    "社保": "社会保险",
    "五险": "社会保险",
    "年假": "年休假",
    "打官司": "提起诉讼",
    "房东": "出租人",
    "租客": "承租人",
    "租户": "承租人",
    "车祸": "交通事故",
    "家暴": "家庭暴力",
    "医生": "医务人员",
    "看病": "诊疗活动",
    "坐牢": "有期徒刑",
    "网购": "网络 购买商品",
    "盗版": "侵权复制品",
}
_LONGEST_FIRST = sorted(_STATUTORY, key=len, reverse=True)


def statutory(question: str) -> str:
    """The statutes' words for what `question` says in others; empty where it says nothing of the kind."""
    found: dict[str, None] = {}
    for word in _LONGEST_FIRST:
        if word in question:
            question = question.replace(word, " ")
            found |= dict.fromkeys(each for each in _STATUTORY[word].split() if each not in question)
    return " ".join(found)
