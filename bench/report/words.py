"""What reports say in Chinese and English; names of the field (TTFT, BLEU, nDCG) are the same in both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["zh", "en"]

_WORDS: Mapping[str, tuple[str, str]] = {
    "quality": ("质量评测", "Quality"),
    "retrieval": ("检索评测", "Retrieval"),
    "serve": ("速度评测", "Speed"),
    "scores": ("得分", "Scores"),
    "differences": (
        "与基准的差异（逐行配对，95% 区间）",
        "Differences to the baseline (paired by row, 95 % intervals)",
    ),
    "grounding": ("依据与引用", "Grounding"),
    "widest": ("各对象差异最大的行", "Rows where targets differ most"),
    "worst": ("得分最低的行", "Worst rows"),
    "misses": ("没有找到条文的问题", "Questions that miss an article"),
    "figures": ("指标", "Figures"),
    "plots": ("图", "Plots"),
    "notes": ("须知", "What to know"),
    "settings": ("设置、版本与种子", "Settings, versions and seeds"),
    "target": ("对象", "target"),
    "against": ("基准", "against"),
    "rows": ("行数", "rows"),
    "scored": ("已评分", "scored"),
    "errors": ("失败", "errors"),
    "truncated": ("截断", "truncated"),
    "tones": (
        "绿色：整个 95% 区间都更好；红色：整个区间都更差；无色：差异不超出噪声。",
        "Green: the whole 95 % interval is better; red: all of it is worse; no colour: no difference beyond noise.",
    ),
    "answers": ("有依据的回答", "grounded answers"),
    "citations": ("引用数", "citations"),
    "cited": ("带引用的回答", "answers that cite"),
    "citations_verified": ("引文支持句子", "citations verified"),
    "articles_named": ("提到的条文", "articles named"),
    "articles_exist": ("条文存在", "articles that exist"),
    "abstained_wrongly": ("误拒", "declined wrongly"),
    "unanswerable": ("无解问题", "unanswerable"),
    "abstained_rightly": ("正确拒答", "declined rightly"),
    "prompt": ("问题", "prompt"),
    "label": ("参考答案", "label"),
    "value": ("值", "value"),
    "figure": ("指标", "figure"),
    "questions": ("问题数", "questions"),
    "load": ("负载", "load"),
    "requests": ("请求数", "requests"),
    "missed": ("缺少", "missed"),
    "came": ("找到的是", "came instead"),
    "quality_plot": ("各对象的得分，竖线为 95% 区间", "Scores of each target; bars are 95 % intervals"),
    "seconds_plot": ("回答用时的分布", "Distribution of the time of an answer"),
    "latency_plot": ("端到端延迟的累积分布", "Cumulative distribution of end-to-end latency"),
    "tradeoff_plot": ("吞吐与延迟", "Throughput against latency"),
    "ttft_plot": ("首个词元延迟（TTFT）随时间的变化", "Time to first token over the run"),
    "metrics_plot": ("检索指标，竖线为 95% 区间", "Retrieval metrics; bars are 95 % intervals"),
    "search_plot": ("检索用时的累积分布", "Cumulative distribution of the time of a search"),
}


def words(language: Language) -> Mapping[str, str]:
    """Every word of a report in that language."""
    return {key: pair[0 if language == "zh" else 1] for key, pair in _WORDS.items()}
