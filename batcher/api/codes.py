"""Return codes explained: meaning, what batcher does, and what the user does, in English and Chinese.

Called by ``batcher codes`` and by the report. The two languages must name the same variables, options and
commands.
"""

from __future__ import annotations

from collections.abc import Sequence

from batcher.flowcontrol.retry_policy import BUSY_TRIES, REFUSED_TRIES, UNKNOWN_TRIES, CodeKind, kind_of
from batcher.model.records import CodeExplanation
from batcher.zego.codes import (
    MEANINGS,
    OF_MERGING,
    OF_MERGING_IN_CHINESE,
    OF_SEARCHES,
    OF_SEARCHES_IN_CHINESE,
    meaning,
    meaning_in_chinese,
)

UNDOCUMENTED = -1
"""A code that no page of the service names."""

HANDLING_IN_CHINESE = {
    CodeKind.SUBMITTED: "记录任务 ID",
    CodeKind.REJECT: "将该提交记为 rejected，不再发送",
    CodeKind.HALT: "停止运行：之后的调用都会同样失败；该提交仍待发送",
    CodeKind.PERMISSION: (
        "本次运行尚无成功请求时停止；已有成功请求时，两个录制文件都收到才停止；只有一个收到时排在其他提交之后重发，"
        f"共尝试 {UNKNOWN_TRIES} 次；仍不成功则记为 rejected"
    ),
    CodeKind.SLOW_DOWN: f"放慢速度后重发；其他提交被接受而该提交被拒绝满 {REFUSED_TRIES} 次，则记为 failed",
    CodeKind.BUSY: f"重发，共尝试 {BUSY_TRIES} 次；仍不成功则记为 failed",
    CodeKind.UNKNOWN: f"重发，共尝试 {UNKNOWN_TRIES} 次；仍不成功则记为 rejected",
    CodeKind.CREDENTIALS: (
        "本次运行尚无成功请求时停止；已有成功请求时暂停，并用一次不会创建任务的调用确认："
        "鉴权有误则停止，频率过高则放慢；"
        f"同一提交再次收到：共尝试 {UNKNOWN_TRIES} 次，仍不成功则记为 rejected"
    ),
    CodeKind.CLOCK: "测出本机时钟的偏差后重发；仍不成功则停止",
}
"""The action that follows from each kind of code; the English text is the value of the kind."""


def code_texts_in_chinese() -> dict[str, str]:
    """Return the English meanings and remedies of the service's return codes with the Chinese ones."""
    pairs = [(meaning(code), meaning_in_chinese(code)) for code in (*MEANINGS, UNDOCUMENTED)]
    meanings = {english.text: chinese.text for english, chinese in pairs}
    return meanings | {english.remedy: chinese.remedy for english, chinese in pairs if english.remedy}


def explain_code(code: int) -> CodeExplanation:
    """Explain a return code in English; a code that is not documented, too."""
    return CodeExplanation(code, meaning(code), kind_of(code).value)


def explain_code_in_chinese(code: int) -> CodeExplanation:
    """Explain a return code in Chinese; a code that is not documented, too."""
    return CodeExplanation(code, meaning_in_chinese(code), HANDLING_IN_CHINESE[kind_of(code)])


def explain_code_of_any_call(code: int) -> tuple[CodeExplanation, CodeExplanation]:
    """Explain a return code of any call or callback, in English and in Chinese."""
    if code in OF_SEARCHES:
        english, chinese = _HALTS_SEARCHES
        return (
            CodeExplanation(code, OF_SEARCHES[code], english, "SearchMedia"),
            CodeExplanation(code, OF_SEARCHES_IN_CHINESE[code], chinese, "SearchMedia"),
        )
    if code in OF_MERGING:
        english, chinese = _NO_NEW_SUBMISSION
        return (
            CodeExplanation(code, OF_MERGING[code], english, "callbacks with the event `compose`"),
            CodeExplanation(code, OF_MERGING_IN_CHINESE[code], chinese, "`compose` 回调"),
        )
    return explain_code(code), explain_code_in_chinese(code)


_HALTS_SEARCHES = (
    "halts `batcher discover` and `batcher verify-ids` with exit code 3",
    "`batcher discover` 和 `batcher verify-ids` 停止，退出码为 3",
)
_NO_NEW_SUBMISSION = (
    "`batcher listen` records the callback; no submission follows from it",
    "`batcher listen` 记录该回调；不会由此产生提交项",
)


def documented_codes() -> Sequence[int]:
    """All documented codes in order."""
    return sorted({*MEANINGS, *OF_SEARCHES, *OF_MERGING})
