"""The phrases of the report page, in English and in Chinese.

Looked up by name by the template ``page.html`` and by the plots. Both tables have the same names and
fields; a test holds that. Phrases hold no markup: their values are text and are escaped with them. A phrase
whose name ends in ``.one`` is used if ``n`` is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from batcher.model.submission import State
from batcher.model.task import PictureState, TaskState
from batcher.report.formatting import PLACES, duration


class Language(StrEnum):
    """The language of the page."""

    ENGLISH = "en"
    CHINESE = "zh"


Say = Callable[..., str]
"""A function that returns a phrase by its name, with its fields filled in."""


def _values_of(kind: str, words: Iterable[StrEnum]) -> dict[str, str]:
    """Return the English phrases of an enum: its values."""
    return {f"{kind}.{word}": word.replace("_", " ") for word in words}


ENGLISH: Mapping[str, str] = {
    "html_lang": "en",
    "title": "batcher report",
    "bound": "AppId {app_id}, {place}",
    "unbound": "no run yet",
    **{f"place.{kind}": place for kind, place in PLACES.items()},
    "made": "Made {at} by batcher {version}. All times are UTC.",
    "verdict.empty": "Nothing has been loaded yet.",
    "verdict.all": "All {n:,} submissions have a task id.",
    "verdict.all.one": "The only submission has a task id.",
    "verdict.some": "{submitted:,} of {total:,} submissions have a task id; {n:,} do not.",
    "verdict.some.one": "{submitted:,} of {total:,} submissions have a task id; 1 does not.",
    "verdict.open": "{submitted:,} of {total:,} submissions have a task id; {n:,} are still to be sent.",
    "verdict.open.one": "{submitted:,} of {total:,} submissions have a task id; 1 is still to be sent.",
    "nav": "On this page",
    "tile.submitted": "have a task id",
    "tile.submitted.of": "of {n:,} submissions",
    "tile.submitted.of.one": "of 1 submission",
    "tile.troubled": "rejected or failed",
    "tile.troubled.of": "{share} of ended submissions",
    "tile.doubt": "possibly twice, or in doubt",
    "tile.doubt.of": "{held:,} in doubt, {twice:,} possibly twice",
    "tile.open": "still to be sent",
    "tile.open.of": "about {time} at {rate:g}/s",
    "tile.pace": "requests per second",
    "tile.pace.of": "{n:,} requests in {time}; limit {rate:g}",
    "tile.pace.of.one": "1 request in {time}; limit {rate:g}",
    "tile.pace.of.last": "last {runs:,} runs: {sent:,} requests in {time}; limit {rate:g}",
    "tile.pictures": "whole pictures",
    "tile.pictures.of": "of {n:,} reported by tasks",
    "tile.pictures.of.one": "of 1 reported by tasks",
    "tile.without_pictures": "tasks without pictures",
    "tile.without_pictures.of": "of {n:,} ended tasks",
    "tile.without_pictures.of.one": "of 1 ended task",
    "bar.submissions": "Submissions",
    "bar.tasks": "Tasks",
    "bar.pictures": "Pictures",
    **_values_of("state", State),
    **_values_of("task", TaskState),
    **_values_of("picture", PictureState),
    "picture.unfetched": "not fetched",
    "sheet": "Pictures",
    "sheet.none": "No pictures have been fetched. Run `batcher track` to follow the tasks, then "
    "`batcher fetch -o pictures` to fetch their pictures.",
    "sheet.unfetched": "No pictures have been fetched. Run `batcher fetch -o pictures` to fetch them.",
    "sheet.nothing": "No task has reported a picture.",
    "sheet.nowhere": "{n:,} pictures have been fetched. To show them here, name their folder: {command}",
    "sheet.nowhere.one": "1 picture has been fetched. To show it here, name its folder: {command}",
    "sheet.all": "All recordings with fetched pictures, scaled down.",
    "sheet.capped": "The {n:,} newest recordings with fetched pictures, scaled down, at most {each} pictures "
    "of each. The others are in {folder}; use --recordings to show more.",
    "sheet.rest": "{n:,} more recordings",
    "sheet.rest.one": "1 more recording",
    "sheet.more": "+{n:,} more",
    "sheet.absent": "not in the folder",
    "sheet.unreadable": "not readable",
    "sheet.full": "no space on this page",
    "sheet.at": "at {s:g} s",
    "sheet.alt": "Picture {number} of {file_id}",
    "rate": "The run over time",
    "rate.many": "The runs over time",
    "rate.axis": "requests per second",
    "rate.none": "Nothing has been sent yet.",
    "rate.capped": "The last {n:,} of {all:,} runs.",
    "rate.cells": "Each step is {width}.",
    "rate.desc": "Requests per second over time. {sent:,} were sent, {refused:,} were throttled.",
    "rate.desc.calm": "Requests per second over time. {sent:,} were sent, none was throttled.",
    "rate.submitted": "got a task id",
    "rate.sent": "sent",
    "rate.cap": "limit",
    "rate.cap.at": "limit {rate:g}/s",
    "rate.pace": "rate at the end",
    "rate.pace.at": "rate {pace:.1f}/s",
    "rate.refused": "throttled",
    "rate.refused.lane": "slowed",
    "rate.outage": "outage",
    "rate.outage.at": "outage {time}",
    "rate.run": "run {n}",
    "latency": "Answer times",
    "latency.axis": "share of answers",
    "latency.axis.x": "time to the answer",
    "latency.none": "No answer times have been recorded yet.",
    "latency.desc": "Half of {n:,} answers came within {p50}, 95% within {p95}, 99% within {p99}; "
    "the slowest took {slowest}.",
    "latency.desc.one": "The only answer took {slowest}.",
    "runs": "Runs",
    "runs.capped": "The last {n:,} of {all:,}. `batcher status` shows the last run.",
    "runs.began": "started",
    "runs.took": "duration",
    "runs.cap": "limit",
    "runs.pace": "last rate",
    "runs.exit": "exit code",
    "runs.reason": "reason",
    "runs.open": "running, or killed",
    "codes": "Return codes",
    "codes.none": "No submission has a return code other than 0.",
    "codes.code": "code",
    "codes.n": "submissions",
    "codes.meaning": "meaning",
    "codes.does": "what batcher does",
    "codes.remedy": "what to do",
    "codes.nothing": "nothing",
    "failures": "Rejected and failed",
    "failures.none": "No submission was rejected or failed.",
    "failures.capped": "{shown:,} of {n:,}, some for each code. To see all: {command}",
    "failures.all": "All {n:,}. To get them as a table for other programs: {command}",
    "failures.all.one": "1 submission. To get it as a table for other programs: {command}",
    "search": "Search this table",
    "search.found": "{found} of {all} rows",
    "column.recording": "recording",
    "column.state": "state",
    "column.code": "code",
    "column.message": "message",
    "column.request": "RequestId",
    "column.tries": "requests",
    "column.last": "last answer",
    "column.task": "task id",
    "column.ended": "ended",
    "no_code": "none",
    "invalid": "Rows that cannot be sent",
    "invalid.all": "All {n:,}. To get them as a table for other programs: {command}",
    "invalid.all.one": "1 row. To get it as a table for other programs: {command}",
    "invalid.capped": "The first {shown:,} of {n:,}. To see all in their manifest: {command}",
    "invalid.row": "row",
    "invalid.column": "column",
    "invalid.reason": "reason",
    "doubts": "Possibly twice, or in doubt",
    "doubts.none": "No answer was lost: no submission is in doubt or possibly twice.",
    "doubts.what": "Requests that may have arrived and whose answer is missing. The API cannot report "
    "whether a task exists; technical support can look it up by these times.",
    "doubts.capped": "The first {shown:,} of {n:,}. To see all attempts: `batcher show FILE_ID`.",
    "doubt.held": "in doubt, not sent again automatically",
    "doubt.again": "waits to be sent again",
    "doubt.twice": "sent again and accepted: possibly twice",
    "doubt.refused": "sent again and refused: a task may exist anyway",
    "column.stands": "status",
    "column.sends": "sent at, result",
    "no_answer": "no answer",
    "without_pictures": "Tasks without pictures",
    "without_pictures.capped": "The first {shown:,} of {n:,}. To see all: {command}",
    "footer": "All data comes from the ledger. The page holds no secrets, but it names recordings.",
}

CHINESE: Mapping[str, str] = {
    "html_lang": "zh-CN",
    "title": "batcher 报告",
    "bound": "AppId {app_id}，{place}",
    "unbound": "尚未运行",
    "place.zego": "ZEGO 云",
    "place.other": "ZEGO 云以外的服务端",
    "made": "由 batcher {version} 生成于 {at}。所有时间均为 UTC。",
    "verdict.empty": "尚未加载任何内容。",
    "verdict.all": "全部 {n:,} 个提交项都已取得任务 ID。",
    "verdict.some": "{total:,} 个提交项中有 {submitted:,} 个已取得任务 ID，{n:,} 个未取得。",
    "verdict.open": "{total:,} 个提交项中有 {submitted:,} 个已取得任务 ID，还有 {n:,} 个待发送。",
    "nav": "本页内容",
    "tile.submitted": "已取得任务 ID",
    "tile.submitted.of": "共 {n:,} 个提交项",
    "tile.troubled": "被拒绝或失败",
    "tile.troubled.of": "占已结束提交项的 {share}",
    "tile.doubt": "可能重复，或存疑",
    "tile.doubt.of": "存疑 {held:,}，可能重复 {twice:,}",
    "tile.open": "待发送",
    "tile.open.of": "按每秒 {rate:g} 次约需 {time}",
    "tile.pace": "每秒请求数",
    "tile.pace.of": "{n:,} 次请求，历时 {time}；上限 {rate:g}",
    "tile.pace.of.last": "最近 {runs:,} 次运行：{sent:,} 次请求，历时 {time}；上限 {rate:g}",
    "tile.pictures": "完好的截图",
    "tile.pictures.of": "任务共返回 {n:,} 张",
    "tile.without_pictures": "无截图的任务",
    "tile.without_pictures.of": "共 {n:,} 个已结束的任务",
    "bar.submissions": "提交项",
    "bar.tasks": "任务",
    "bar.pictures": "截图",
    "state.pending": "待发送",
    "state.sending": "发送中",
    "state.submitted": "已提交",
    "state.rejected": "被拒绝",
    "state.failed": "失败",
    "state.in_doubt": "存疑",
    "task.waiting": "等待中",
    "task.processing": "处理中",
    "task.finished": "已完成",
    "task.failed": "失败",
    "task.unknown": "未知",
    "picture.whole": "完好",
    "picture.blank": "单色",
    "picture.black": "全黑",
    "picture.broken": "损坏",
    "picture.refused": "拒绝下载",
    "picture.missing": "缺失",
    "picture.unfetched": "未下载",
    "sheet": "截图",
    "sheet.none": "尚未下载截图。请先运行 `batcher track` 跟踪任务，"
    "再运行 `batcher fetch -o pictures` 下载截图。",
    "sheet.unfetched": "尚未下载截图。请运行 `batcher fetch -o pictures` 下载截图。",
    "sheet.nothing": "没有任务返回截图。",
    "sheet.nowhere": "已下载 {n:,} 张截图。如需在此显示，请指定截图所在的文件夹：{command}",
    "sheet.all": "所有已下载截图的录制文件（缩略图）。",
    "sheet.capped": "最新的 {n:,} 个已下载截图的录制文件（缩略图），每个最多显示 {each} 张。"
    "其余截图在 {folder} 中；使用 --recordings 可显示更多。",
    "sheet.rest": "另外 {n:,} 个录制文件",
    "sheet.more": "还有 {n:,} 张",
    "sheet.absent": "不在文件夹中",
    "sheet.unreadable": "无法读取",
    "sheet.full": "本页空间不足",
    "sheet.at": "第 {s:g} 秒",
    "sheet.alt": "{file_id} 的第 {number} 张截图",
    "rate": "运行过程",
    "rate.many": "各次运行的过程",
    "rate.axis": "每秒请求数",
    "rate.none": "尚未发送任何请求。",
    "rate.capped": "共 {all:,} 次运行，此处显示最近 {n:,} 次。",
    "rate.cells": "每一级表示 {width}。",
    "rate.desc": "每秒请求数随时间的变化。共发送 {sent:,} 次，其中 {refused:,} 次被限流。",
    "rate.desc.calm": "每秒请求数随时间的变化。共发送 {sent:,} 次，未被限流。",
    "rate.submitted": "取得任务 ID",
    "rate.sent": "已发送",
    "rate.cap": "上限",
    "rate.cap.at": "上限 {rate:g}/秒",
    "rate.pace": "结束时的速率",
    "rate.pace.at": "速率 {pace:.1f}/秒",
    "rate.refused": "被限流",
    "rate.refused.lane": "限流",
    "rate.outage": "服务中断",
    "rate.outage.at": "中断 {time}",
    "rate.run": "第 {n} 次运行",
    "latency": "响应时间",
    "latency.axis": "响应占比",
    "latency.axis.x": "响应时间",
    "latency.none": "尚无响应时间的记录。",
    "latency.desc": "{n:,} 个响应中，一半不超过 {p50}，95% 不超过 {p95}，99% 不超过 {p99}；"
    "最慢的为 {slowest}。",
    "runs": "各次运行",
    "runs.capped": "共 {all:,} 次，此处显示最近 {n:,} 次。`batcher status` 可查看最近一次运行。",
    "runs.began": "开始时间",
    "runs.took": "时长",
    "runs.cap": "上限",
    "runs.pace": "最后速率",
    "runs.exit": "退出码",
    "runs.reason": "结束原因",
    "runs.open": "正在运行，或已被强制终止",
    "codes": "收到的返回码",
    "codes.none": "没有返回码非 0 的提交项。",
    "codes.code": "返回码",
    "codes.n": "提交项",
    "codes.meaning": "含义",
    "codes.does": "batcher 的处理",
    "codes.remedy": "处理建议",
    "codes.nothing": "无",
    "failures": "被拒绝或失败的提交项",
    "failures.none": "没有被拒绝或失败的提交项。",
    "failures.capped": "共 {n:,} 个，此处显示 {shown:,} 个，每种返回码各选一部分。查看全部：{command}",
    "failures.all": "共 {n:,} 个，已全部列出。导出为供其他程序使用的表格：{command}",
    "search": "在此表中查找",
    "search.found": "共 {all} 行，匹配 {found} 行",
    "column.recording": "录制文件",
    "column.state": "状态",
    "column.code": "返回码",
    "column.message": "消息",
    "column.request": "RequestId",
    "column.tries": "请求次数",
    "column.last": "最后响应",
    "column.task": "任务 ID",
    "column.ended": "结束时间",
    "no_code": "无",
    "invalid": "无法发送的行",
    "invalid.all": "共 {n:,} 行，已全部列出。导出为供其他程序使用的表格：{command}",
    "invalid.capped": "共 {n:,} 行，此处显示前 {shown:,} 行。在清单中查看全部：{command}",
    "invalid.row": "行",
    "invalid.column": "列",
    "invalid.reason": "原因",
    "doubts": "可能重复，或存疑",
    "doubts.none": "没有丢失响应：没有存疑或可能重复的提交项。",
    "doubts.what": "这些请求可能已送达，但未收到响应。API 无法查询任务是否存在；技术支持可根据这些时间查找。",
    "doubts.capped": "共 {n:,} 个，此处显示前 {shown:,} 个。查看录制文件的每次请求：`batcher show FILE_ID`。",
    "doubt.held": "存疑，不会自动重新发送",
    "doubt.again": "等待重新发送",
    "doubt.twice": "重新发送后已接受：可能重复",
    "doubt.refused": "重新发送后被拒绝：任务仍可能存在",
    "column.stands": "状态",
    "column.sends": "发送时间和结果",
    "no_answer": "未收到响应",
    "without_pictures": "无截图的任务",
    "without_pictures.capped": "共 {n:,} 个，此处显示前 {shown:,} 个。查看全部：{command}",
    "footer": "本页数据全部来自台账。页面不含密钥，但包含录制文件的名称。",
}

_PHRASES = {Language.ENGLISH: ENGLISH, Language.CHINESE: CHINESE}

_UNITS_ZH = {"d": "天", "h": "小时", "min": "分", "s": "秒"}


def speaker(language: Language) -> Say:
    """Return the function that looks up phrases of a language."""
    phrases = _PHRASES[language]

    def say(name: str, **known: object) -> str:
        single = phrases.get(f"{name}.one") if known.get("n") == 1 else None
        return (single or phrases[name]).format(**known)

    return say


def duration_text(seconds: float, language: Language) -> str:
    """Return a duration in words: the two largest units, tenths below ten seconds."""
    english = (
        duration(seconds) if seconds >= 10 or seconds == 0 else f"{seconds:.1f}".removesuffix(".0") + " s"
    )
    if language is Language.ENGLISH:
        return english
    words = english.split()
    return " ".join(f"{n} {_UNITS_ZH[unit]}" for n, unit in zip(words[::2], words[1::2], strict=True))
